"""What is each painting process's own: its share of the machine, and so of every run's options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import OptionError
from ..network.machine import available_memory
from ..network.sessions import available_cpus
from ..options.fields import Options
from .configuration import Configuration
from .order import Order

__all__ = ["Own", "share_of"]


@dataclass(frozen=True)
class Own:
    """What all jobs of one process have: threads, memory in bytes, pixels of pictures read."""

    threads: int | None
    max_memory: int | None
    max_pixels: int

    def options(self, order: Order, folder: Path) -> Options:
        """The options of a run for that order; raises OptionError."""
        return order.chosen(
            folder,
            threads=self.threads,
            max_memory=self.max_memory,
            max_pixels=self.max_pixels,
            scratch=str(folder),
        )


def share_of(configuration: Configuration) -> Own:
    """What each process has of the machine: its part of the threads, and of the memory.

    With one process the threads are left as they are by default, so that the bytes are the
    command's. On a cluster each job has ``threads``, else one. Raises OptionError for more
    processes than threads.
    """
    jobs, threads = configuration.jobs, configuration.threads
    if configuration.scheduler is not None:  # the workers have machines of their own
        return Own(threads or 1, None, configuration.max_pixels)
    total = threads or available_cpus()
    if jobs > total:
        raise OptionError(
            f"{jobs} jobs cannot share {total} threads; give --jobs from 1 to {total}."
        )
    each = threads if jobs == 1 else total // jobs
    memory = int(0.9 * available_memory()) // jobs
    return Own(each, memory if memory >= 16_000_000 else None, configuration.max_pixels)
