"""Where jobs are painted, as the settings have it: by processes here, or by a cluster's workers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from .configuration import Configuration
from .own import share_of

if TYPE_CHECKING:
    from .dispatcher import Worker

__all__ = ["starter_of"]


def starter_of(configuration: Configuration) -> Callable[[], Worker]:
    """What starts a worker; raises OptionError for more jobs than threads."""
    own = share_of(configuration)
    if configuration.scheduler is None:
        from .process import WorkerProcess

        return functools.partial(WorkerProcess, own)
    from .cluster import ClusterWorker

    return functools.partial(ClusterWorker, configuration.scheduler, own)
