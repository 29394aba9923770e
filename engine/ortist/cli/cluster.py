"""``--scheduler``, and ``ortist worker-check``: the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Annotated

import typer

from .._version import __version__
from ..errors import ResourceError
from ..options.declaring import Heading
from .arguments import asked, flag

if TYPE_CHECKING:
    from ..jobs.cluster import Cluster

__all__ = ["SCHEDULER", "connected", "worker_check"]

SCHEDULER = asked(
    None,
    "Address of a Dask scheduler, as in tcp://host:8786, whose workers do the work; --threads are "
    "then each task's, without it 1. Needs the extra cluster.",
    Heading.MEMORY,
    "ADDRESS",
)
"""``--scheduler``, as every command has it that a cluster can work for."""


def connected(address: str) -> Cluster:
    """The cluster at that address, with workers; raises OptionError or ResourceError."""
    cluster = _quietly_opened(address)
    try:
        cluster.wait_for_workers()
    except BaseException:
        cluster.close()
        raise
    return cluster


def _quietly_opened(address: str) -> Cluster:
    """The cluster at that address; Dask's log does not come between the command's own lines."""
    import logging

    from ..jobs.cluster import Cluster

    with contextlib.suppress(ImportError):  # which Cluster says
        import distributed  # noqa: F401 - it adds its handlers

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).handlers = [logging.NullHandler()]
    return Cluster(address)


def worker_check(
    address: Annotated[
        str, typer.Argument(help="The scheduler, as in tcp://host:8786.", metavar="ADDRESS")
    ],
    as_json: bool = flag("Print one JSON object a worker on stdout.", "--json"),
) -> None:
    """Say what each worker of a Dask cluster has: version, model, providers, CPUs."""
    unfit = []
    with _quietly_opened(address) as cluster:
        cluster.wait_for_workers(check=False)
        workers = cluster.workers()
    for name, facts in sorted(workers.items()):
        print(json.dumps({"worker": name, **facts}) if as_json else _line(name, facts))
        if facts.get("ortist") != __version__:
            unfit.append(name)
    if unfit:
        raise ResourceError(
            f"{len(unfit)} of {len(workers)} workers cannot paint for this Ortist {__version__}; "
            "install the same version there."
        )


def _line(name: str, facts: dict[str, object]) -> str:
    if "error" in facts:
        return f"{name}  {facts['error']}"
    providers = facts["providers"]
    assert isinstance(providers, list)
    return (
        f"{name}  Ortist {facts['ortist']}, ONNX Runtime {facts['onnxruntime']}, "
        f"Python {facts['python']}, {facts['model']}, {'/'.join(providers)}, "
        f"{facts['threads']} of {facts['cpus']} CPUs"
    )
