"""ONNX Runtime: quiet, without telemetry, on the CPUs that this process may use.

The import is inside the functions: it takes a third of a second that ``--help`` need not pay.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import platform
import sys
import sysconfig
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ModelError, OptionError, ProviderError, ResourceError, reason_of
from ..forks import check_not_forked, fresh_after_fork, importing

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "ON_CUDA",
    "available_cpus",
    "beyond_pool",
    "control_groups",
    "count_threads",
    "load_onnxruntime",
    "no_more_threads",
    "open_session",
    "pinned_cpu",
    "private_arena",
    "refuses_to_run",
    "run_options_giving_back",
    "wants_memory",
]

_CPU = "CPUExecutionProvider"
_NO_THREAD = ("pthread_create", "PosixThread", "Resource temporarily unavailable")
"""What ONNX Runtime says where the system starts no more threads."""
ON_CUDA = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
"""Providers whose values lie in CUDA's memory."""
_SETTINGS: dict[str, dict[str, str]] = {
    # By default cuDNN tries every algorithm for every new size, and the pool doubles when full; and
    # it computes in TF32, which was no faster on an H200 and put a quarter of a gradient's
    # components beyond 1e-5 (docs/performance.md).
    "CUDAExecutionProvider": {
        "use_tf32": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    },
    # By default it computes in bfloat16 where the processor can.
    "OpenVINOExecutionProvider": {"precision": "FP32"},
}


@functools.cache
def load_onnxruntime() -> ModuleType:
    """Imports onnxruntime with its telemetry off, which must be said before the import.

    Raises ResourceError where it is not there, or cannot be loaded.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        with importing:
            runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        reason = reason_of(error)
        if "failed to map" in reason or "allocate" in reason:  # under a limit of addresses
            raise ResourceError(
                "there is not enough memory to load onnxruntime; raise the limit of this process "
                "(ulimit -v, or the container's)."
            ) from error
        raise ResourceError(f"onnxruntime cannot be loaded ({reason}); {_remedy()}.") from error
    # Fatal ones only: what fails is raised as well, and said in our own words.
    runtime.set_default_logger_severity(4)
    _begin_pool(runtime)
    return runtime


def _remedy() -> str:
    """What to do where there is no onnxruntime; its wheels of 1.24 and newer are not for all."""
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return (
            "1.24 and newer have no wheels for Intel Macs, so use a machine with an Apple chip or "
            "with Linux"
        )
    if sys.platform == "linux" and "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        return (
            "1.24 and newer have no wheels for musl (Alpine), so use a Linux with glibc, such as a "
            "python:3.12-slim container"
        )
    return "pip install 'onnxruntime>=1.24' brings it"


def _begin_pool(runtime: ModuleType, most: int = 0) -> None:
    """Sessions that are opened from now on share a new pool of memory, in place of the last one.

    It has ``most`` bytes at most, 0 for no limit: what asks for more fails before it is taken.

    It grows by what is asked for and no more. By default every session has a pool of its own,
    doubled when it is full; sessions that take turns share one instead: 330 -> 250 MiB for a step
    at 512 px, and no slower.
    """
    memory = runtime.OrtMemoryInfo(
        "Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT
    )
    same_as_requested = {"arena_extend_strategy": 1, **({"max_mem": most} if most else {})}
    runtime.create_and_register_allocator(memory, runtime.OrtArenaCfg(same_as_requested))


_opening = fresh_after_fork(__name__, "_opening", threading.RLock)
"""Held while sessions are opened, since which pool they take is the process's state."""


@contextlib.contextmanager
def private_arena(most: int = 0) -> Iterator[None]:
    """Sessions that are opened meanwhile share a pool of memory that no others have.

    Of ``most`` bytes, if that is not 0: a few bytes of a graph can ask for any number of them.

    For sessions that are run by one thread alone: what it wrote last is in its own caches then.
    From a pool that threads share each gets what another wrote, which is dear where their cores
    have no cache in common (measured on two such cores: 54 instead of 44 ms a step at 512 px).
    """
    check_not_forked()
    runtime = load_onnxruntime()
    with _opening:
        _begin_pool(runtime, most)
        try:
            yield
        finally:
            _begin_pool(runtime)


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, cut to its control groups' quotas."""
    count = len(_affinity()) or os.cpu_count() or 1
    for quota, period in _quotas():
        with contextlib.suppress(ValueError, ZeroDivisionError):  # "max": no quota
            if int(quota) > 0:  # in the older groups -1 is none
                count = min(count, max(1, -(-int(quota) // int(period))))
    return count


def _quotas() -> Iterator[tuple[str, str]]:
    """Microseconds of CPU time in a period, and the period, of the groups around this process."""
    for folder in control_groups():
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            yield quota, period
    for folder in control_groups("cpu"):
        with contextlib.suppress(OSError):
            yield (
                (folder / "cpu.cfs_quota_us").read_text(encoding="ascii"),
                (folder / "cpu.cfs_period_us").read_text(encoding="ascii"),
            )


def count_threads(asked: int | None) -> int:
    """``asked``, or as many as there are CPUs; raises OptionError for more."""
    cpus = available_cpus()
    if asked is not None and asked > cpus:
        raise OptionError(f"{asked} threads are more than the {cpus} CPUs this process may use.")
    return asked or cpus


def control_groups(controller: str = "") -> list[Path]:
    """The folders of this process's control group and of those around it.

    Those of version 2, which has one tree, or, by its name, the tree of a ``controller`` of version
    1. In a container the path may be the host's: then only the last folder, the root, is there.
    """
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8")
    except OSError:
        groups = ""
    return [*_folders(controller, groups)]


@functools.lru_cache(4)
def _folders(controller: str, groups: str) -> tuple[Path, ...]:
    """The folders by what /proc says of ``groups``: a process may be moved to others."""
    root, own = Path("/sys/fs/cgroup") / controller, ""
    for line in groups.splitlines():
        _, names, path = (line + "::").split(":", 3)[:3]
        if controller in names.split(","):
            own = path.lstrip("/")
    folder = root / own
    return (folder, *(parent for parent in folder.parents if root in (parent, *parent.parents)))


_pinned = threading.local()
"""``cpus`` of a thread: those that it had before it was pinned to one of them."""


@contextlib.contextmanager
def pinned_cpu(number: int, threads: int) -> Iterator[None]:
    """Meanwhile the calling thread, ``number`` of so many that take turns, has a CPU of its own.

    Threads that wake each other are put on one CPU by Linux, and stay there for some 50 ms. Done
    only where the ``threads`` are as many as the CPUs: which ones to take is no question then.
    """
    cpus = _affinity()
    if threads < 2 or len(cpus) != threads:
        yield
        return
    _pinned.cpus = cpus
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {sorted(cpus)[number]})
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)
        _pinned.cpus = set()


def _affinity() -> set[int]:
    """The CPUs that the calling thread may use when it is not pinned; none where nothing says.

    Ctrl-C may come between any two lines of ``pinned_cpu`` and leave the thread on its CPU: a
    checkpoint that is written then shall say as many threads as the one that it goes on from.
    """
    pinned: set[int] = getattr(_pinned, "cpus", set())
    return pinned or (os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set())


def open_session(
    model: bytes,
    provider: str,
    threads: int,
    profile: str | None = None,
    switches: Mapping[str, bool] | None = None,
    spinning: bool = True,
    in_private_arena: bool = False,
) -> onnxruntime.InferenceSession:
    """A session of ``model`` on ``provider``, in ONNX Runtime's words, with so many ``threads``.

    ``switches`` are the truth values that the model leaves open. Without ``spinning`` threads sleep
    at once when there is nothing to do, for sessions between whose runs other threads work. With
    ``profile`` the time of every op is recorded to a file whose name begins with it. Whoever is in
    a ``private_arena`` may have several threads open sessions in it (``in_private_arena``).

    Raises ProviderError where the provider cannot be had, ModelError for what ONNX Runtime cannot
    load on the CPU, and ResourceError for want of memory or threads.
    """
    check_not_forked()
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
    options.inter_op_num_threads = 1
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of all buffers at once: 715 instead of 402 MiB at 512 px, and no faster.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    # External data would escape the manifest's hashes: it is looked for where none is.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    if switches:  # the options do not keep the values, which must be there to the end
        values = [runtime.OrtValue.ortvalue_from_numpy(np.array(on)) for on in switches.values()]
        options.add_external_initializers(list(switches), values)
    if provider in ON_CUDA:
        _load_cuda(runtime)
    try:
        chosen = [(provider, _SETTINGS.get(provider, {}))]
        with contextlib.nullcontext() if in_private_arena else _opening:
            # With a fallback it would turn to the CPU, and say so on stdout.
            session = runtime.InferenceSession(model, options, providers=chosen, enable_fallback=0)
    except Exception as error:  # its exceptions share no base class
        reason, said = reason_of(error), str(error)
        if any(words in said for words in _NO_THREAD):
            raise no_more_threads() from error
        if wants_memory(error) and not beyond_pool(error):
            raise ResourceError(
                "there is not enough memory to open the model; raise the limit of this process "
                "(ulimit -v, or the container's)."
            ) from error
        if provider == _CPU:
            raise ModelError(f"ONNX Runtime cannot load the model: {reason}") from error
        raise ProviderError(_refusal(provider, reason)) from error
    if session.get_providers()[0] != provider:
        raise ProviderError(_refusal(provider, "its device or its libraries are not there"))
    return session


@functools.cache
def _load_cuda(runtime: ModuleType) -> None:
    """Loads CUDA's libraries from NVIDIA's packages for Python, if those are there.

    ``pip install onnxruntime-gpu[cuda,cudnn]`` brings them, where the system's loader does not
    look. What is not found is printed; a session that misses it says so itself.
    """
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
        runtime.preload_dlls()


@functools.cache
def run_options_giving_back() -> onnxruntime.RunOptions:
    """Has a run end with what is free in its session's pool of memory given back."""
    options = load_onnxruntime().RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def wants_memory(error: BaseException) -> bool:
    """Whether it was for want of memory that ONNX Runtime, or Python, failed."""
    text = str(error)
    wanting = "bad_alloc" in text or "allocate" in text.lower()
    return isinstance(error, MemoryError) or wanting


def refuses_to_run(error: BaseException) -> bool:
    """Whether it is ONNX Runtime that says that a graph cannot be run.

    What it raises is of no one class, and where values are bound it is Python's own.
    """
    own = type(error).__module__.startswith("onnxruntime")
    return own or (isinstance(error, RuntimeError) and str(error).startswith("Error in execution"))


def beyond_pool(error: BaseException) -> bool:
    """Whether a graph has asked for more than its pool of memory may have."""
    return "smaller than requested" in str(error)


def no_more_threads() -> ResourceError:
    """What to say where the system starts no more threads."""
    return ResourceError(
        "this process may start no more threads (a limit of processes or of addresses is reached); "
        "give fewer --threads, or raise the limit (ulimit -u or -v, or the container's)."
    )


def _refusal(provider: str, reason: str) -> str:
    return f"{provider} cannot be used here ({reason[:300]}); --provider cpu works everywhere."
