"""What Prometheus is told: queue, ends, durations, bytes, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .dispatcher import Dispatcher
from .job import Job

__all__ = ["Metrics"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Metrics(Collector):
    """The metrics of one service; what changes by itself is looked at when it is asked for."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._registry = CollectorRegistry()
        own = self._registry
        self.received = Counter("ortist_received_bytes", "Bytes of forms read.", registry=own)
        self.sent = Counter("ortist_sent_bytes", "Bytes of bodies sent.", registry=own)
        self._jobs = Counter("ortist_jobs", "Jobs that ended.", ["state"], registry=own)
        self._seconds = Histogram(
            "ortist_job_seconds",
            "Seconds from a job's acceptance to its end.",
            registry=own,
            buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
        )
        self.requests = Counter(
            "ortist_requests", "Requests answered.", ["method", "status"], registry=own
        )
        for state in ("done", "failed", "cancelled"):
            self._jobs.labels(state)
        own.register(self)

    def ended(self, job: Job, state: str) -> None:
        """Counts a job that ended."""
        self._jobs.labels(state).inc()
        if state == "done":
            self._seconds.observe(time.time() - job.created)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges, as they stand."""
        dispatcher = self._dispatcher
        workers = [worker.pid for worker in dispatcher.workers]
        yield _gauge("ortist_queue_jobs", "Jobs that wait.", len(dispatcher.waiting))
        yield _gauge("ortist_running_jobs", "Jobs that are painted.", len(dispatcher.running))
        yield _gauge("ortist_workers", "Processes that paint.", len(workers))
        yield _gauge("ortist_resident_bytes", "Memory of the server.", _resident(os.getpid()))
        painting = sum(map(_resident, workers))
        yield _gauge("ortist_workers_resident_bytes", "Memory of the processes.", painting)

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)


def _gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, value)


def _resident(pid: int) -> int:
    """Bytes that a process has in memory; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
