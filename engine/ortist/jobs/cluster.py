"""A cluster of Dask: pictures, and tiles of one picture, worked on by its workers.

What is distributed is Dask's: where a task runs, that it runs again elsewhere when a worker is
gone, that a value is sent to a worker once. What travels is ours: models and pictures as bytes,
each a task of its own that is known by its SHA-256, and paintings as bytes back. Nothing needs a
disk that is shared. Needs the extra ``cluster``.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ortist_models import MANIFEST

from .._version import __version__
from ..errors import OptionError, OrtistError, ResourceError
from ..files import atomic_writer, unwritable
from ..network.bundle import Model, find_model
from ..objective.sweeper import Setup
from ..pictures.reading import read_header
from .elsewhere import Parcel, facts_here, kept, paint_parcel, swept
from .painting import Outcome, Outcomes, Task

if TYPE_CHECKING:
    import distributed

__all__ = ["Cluster"]

_PATIENCE = 10.0
"""Seconds for a scheduler to answer, and for a first worker to be there."""
_AHEAD = 2
"""Pictures that are sent for each thread of the workers before the first is done."""


class WorkError(ResourceError):
    """A task that failed, where others may be done."""


class Cluster(contextlib.AbstractContextManager["Cluster"]):
    """A connection to the Dask scheduler at ``address``, as in tcp://host:8786; a context manager.

    Where the address begins with tls:// certificates are those of Dask's own configuration. Every
    task has one thread, unless its options say more: how many run side by side on a worker is
    Dask's to know (``dask worker --nthreads``).

    Raises ResourceError where there is no scheduler, no worker, or workers that cannot do it, and
    OptionError for what is no address.
    """

    def __init__(self, address: str) -> None:
        dask_distributed = _load_distributed()
        self._gone = (
            f"the scheduler at {address!r} is gone; start it again, then the same command for the "
            "rest."
        )
        try:
            dask_distributed.comm.get_address_host(address)
        except (ValueError, TypeError) as error:
            raise OptionError(
                f"{address!r} is no address of a scheduler ({_line(error)}); give one as in "
                "tcp://host:8786."
            ) from error
        if address.startswith("tls://"):
            _check_certificates(address, dask_distributed)
        try:
            self.client: distributed.Client = dask_distributed.Client(
                address, timeout=_PATIENCE, set_as_default=False, name="ortist"
            )
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ResourceError(
                f"no scheduler answers at {address!r} ({_line(error)}); start one with dask "
                "scheduler, or leave --scheduler out."
            ) from error
        self._address = address
        self._models: dict[str, distributed.Future] = {}

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; what was not begun is forgotten."""
        self.client.close(timeout=2)

    def wait_for_workers(self, check: bool = True) -> None:
        """Raises ResourceError where there is none after ten seconds, or one that cannot do it."""
        try:
            self.client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise ResourceError(
                f"the scheduler at {self._address!r} has no workers; start some with dask worker "
                f"{self._address}."
            ) from error
        for address, facts in self.workers().items() if check else ():
            _check_facts(address, facts)

    def workers(self) -> dict[str, dict[str, Any]]:
        """What each worker says of itself, by its address; ``error`` where it cannot say it."""
        with self.explained():
            said = self.client.run(facts_here, on_error="return")
        return {
            address: {"error": _line(facts)} if isinstance(facts, BaseException) else facts
            for address, facts in said.items()
        }

    @property
    def threads(self) -> int:
        """How many tasks the workers do side by side."""
        return sum(self.client.nthreads().values())

    def paint(self, tasks: Sequence[Task]) -> Outcomes:
        """The tasks' outcomes as they come, their pictures written here.

        A worker that is gone loses nothing: what it did is done by another. Closed, it takes back
        what no worker has begun. Raises ResourceError where the scheduler is gone.
        """
        from distributed import as_completed

        model = self.sent_model(find_model(tasks[0].options.model)) if tasks else None
        waiting = iter(tasks)
        under_way: dict[distributed.Future, Task] = {}
        done = as_completed(loop=self.client.loop)

        def send(count: int) -> Iterator[Outcome]:
            """Sends so many more; yields the outcome of what cannot be read."""
            for task in itertools.islice(waiting, count):
                try:
                    future = self._sent(task, model)
                except (OSError, OrtistError) as error:
                    yield task.failed(error)
                    continue
                under_way[future] = task
                done.add(future)

        try:
            with self.explained():
                yield from send(_AHEAD * max(1, self.threads))
                for future in done:
                    task = under_way.pop(future)
                    yield _written(task, self._outcome(task, future))
                    yield from send(1)
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.client.cancel(list(under_way))

    def executor(self) -> Executor:
        """Runs what works on tiles (objective/workers.py) on the workers."""
        return _Tiles(self)

    def _sent(self, task: Task, model: Any) -> distributed.Future:
        """A task on its way, with the bytes of its pictures; raises PictureError for no picture."""
        read_header(task.content, task.options.max_pixels, "content image")
        init = str(task.options.init) if task.init_sha256 else None
        data = Path(task.content).read_bytes()
        parcel = Parcel(task, __version__)
        files = [self._sent_file(task.style, task.style_sha256)]
        files += [self._sent_file(init, task.init_sha256)] if init else []
        return self.submit(paint_parcel, parcel, model, data, *files)

    def _sent_file(self, path: str, sha256: str) -> distributed.Future:
        """The bytes of a file, which every worker that needs them gets once."""
        key = f"ortist-file-{sha256}"
        with _large_graphs():
            return self.client.submit(kept, Path(path).read_bytes(), key=key)

    def sent_model(self, model: Model) -> distributed.Future:
        """The files of a model, which every worker that needs them gets once."""
        folder = str(model.folder)
        if folder not in self._models:
            files = {os.path.basename(path): Path(path).read_bytes() for path in model.paths}
            key = f"ortist-model-{hashlib.sha256(files[MANIFEST]).hexdigest()}"
            with _large_graphs():
                self._models[folder] = self.client.submit(kept, files, key=key)
        return self._models[folder]

    def submit(self, work: Callable[..., Any], *args: Any, **more: Any) -> distributed.Future:
        """A task that nobody else has; ``args`` may be futures of others."""
        with _large_graphs():
            return self.client.submit(work, *args, pure=False, **more)

    def result(self, future: distributed.Future) -> Any:
        """What came of a task; raises OrtistError, ResourceError where the scheduler is gone."""
        if future.status == "cancelled":
            raise ResourceError(self._gone)
        error = future.exception()
        if error is not None:
            raise explained(error, self._gone)
        return future.result()

    def _outcome(self, task: Task, future: distributed.Future) -> tuple[Outcome, bytes]:
        """What came of a picture; raises ResourceError where none can be painted any more."""
        try:
            found: tuple[Outcome, bytes] = self.result(future)
        except WorkError as error:  # of this picture alone
            return task.failed(error), b""
        return found

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Raises ResourceError for what Dask says where the scheduler is gone."""
        try:
            yield
        except OrtistError:
            raise
        except (OSError, CancelledError, RuntimeError) as error:
            raise ResourceError(self._gone) from error


class _Tiles(Executor):
    """What Workers (objective/workers.py) submits, done by the cluster's workers."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._inner: Executor = cluster.client.get_executor(pure=False)

    def submit(self, work: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        """``args`` begin with a Setup, whose model is sent along."""
        setup: Setup = args[0]
        model, provider, threads = setup
        sent = self._cluster.sent_model(model)
        outer: Future[Any] = Future()
        with _large_graphs():
            inner = self._inner.submit(
                swept, __version__, sent, work, (model, provider, threads or 1), *args[1:], **more
            )
        inner.add_done_callback(lambda done: _hand_on(done, outer, self._cluster._gone))
        outer.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing: the connection is the cluster's."""


def _hand_on(inner: Future[Any], outer: Future[Any], gone: str) -> None:
    if not outer.set_running_or_notify_cancel():
        return
    if inner.cancelled():
        outer.set_exception(ResourceError(gone))
        return
    error = inner.exception()
    if error is not None:
        outer.set_exception(explained(error, gone))
    else:
        outer.set_result(inner.result())


def _written(task: Task, done: tuple[Outcome, bytes]) -> Outcome:
    """The outcome of a picture that came back, once it is in its place."""
    outcome, data = done
    if outcome.status != "painted":
        return outcome
    try:
        with atomic_writer(Path(task.output)) as stream:
            stream.write(data)
    except OrtistError as error:
        return task.failed(error)
    except OSError as error:
        return task.failed(unwritable(task.output, error))
    return outcome


def explained(error: BaseException, gone: str) -> OrtistError:
    """What Dask raised in a task's place, as one of ours."""
    name = type(error).__name__
    if isinstance(error, OrtistError):
        return error
    if name == "KilledWorker":
        return WorkError(
            "several workers ended while they worked on it, perhaps for want of memory; give a "
            "smaller --size, or workers with more."
        )
    if isinstance(error, (ImportError, AttributeError)):
        return ResourceError(
            f"a worker cannot do it ({_line(error)}); install ortist[cluster] {__version__} where "
            "the workers are."
        )
    if isinstance(error, (OSError, CancelledError)):
        return ResourceError(gone)
    return WorkError(f"a worker failed ({name}: {_line(error)}); its log says more.")


def _check_facts(address: str, facts: Mapping[str, Any]) -> None:
    """Raises ResourceError for a worker without Ortist, or with another version of it."""
    if "error" in facts:
        raise ResourceError(
            f"the worker {address} cannot paint ({facts['error']}); install ortist[cluster] "
            f"{__version__} there."
        )
    if facts["ortist"] != __version__:
        raise ResourceError(
            f"the worker {address} has Ortist {facts['ortist']} and this is {__version__}; install "
            "one version everywhere."
        )


def _check_certificates(address: str, dask_distributed: Any) -> None:
    """Raises ResourceError where Dask's configuration has none: it would fail late, and loudly."""
    arguments = dask_distributed.Security().get_connection_args("client")
    if arguments.get("ssl_context") is None:
        raise ResourceError(
            f"{address!r} asks for certificates, and Dask's configuration names none; set "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, and …__CLIENT__CERT and …__CLIENT__KEY."
        )


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _large_graphs() -> contextlib.AbstractContextManager[Any]:
    """Without Dask's warning that data is sent with a task: that is how it outlives a worker."""
    import dask

    limit = {"distributed.admin.large-graph-warning-threshold": "16GB"}
    config: contextlib.AbstractContextManager[Any] = dask.config.set(limit)
    return config


def _load_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise ResourceError(
            "a cluster needs dask and distributed; install the extra that brings them: pip install "
            "'ortist[cluster]'"
        ) from error
    return distributed
