"""ONNX Runtime: quiet, without telemetry, on the CPUs that this process may use.

The import is inside the functions: it takes a third of a second that ``--help`` need not pay.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from .errors import ModelError, OptionError, ProviderError
from .options import Provider

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["available_cpus", "load_onnxruntime", "open_session"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def load_onnxruntime() -> ModuleType:
    """Imports onnxruntime with its telemetry off, which must be said before the import."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    runtime = importlib.import_module("onnxruntime")
    runtime.set_default_logger_severity(3)  # errors; its warnings are about devices we lack
    return runtime


def available_cpus() -> int:
    """CPUs that this process may use: its affinity, cut to the quota of its control group."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(count, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no such file, or "max": no quota
        return count


def open_session(
    model: bytes, provider: Provider = "auto", threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A session of ``model`` on ``provider`` with ``threads`` CPU threads (None: all it may use).

    Raises ProviderError where a provider that was named cannot be had, OptionError for more threads
    than there are, and ModelError for what ONNX Runtime cannot load. ``auto`` tries CUDA, then the
    CPU.
    """
    cpus = available_cpus()
    if threads is not None and threads > cpus:
        raise OptionError(f"{threads} threads are more than the {cpus} CPUs this process may use.")
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or cpus
    options.inter_op_num_threads = 1
    usable = [name for name in _PROVIDERS.values() if name in runtime.get_available_providers()]
    if provider != "auto" and _PROVIDERS[provider] not in usable:
        hint = " pip install onnxruntime-gpu brings it." if provider == "cuda" else ""
        raise ProviderError(
            f"this onnxruntime {runtime.__version__} has no provider {provider!r}.{hint}"
        )
    wanted = [_PROVIDERS[provider]] if provider != "auto" else sorted(usable, reverse=True)
    for name in wanted:
        try:
            # Without enable_fallback=0, ONNX Runtime turns to the CPU by itself and says so on
            # stdout.
            session = runtime.InferenceSession(model, options, providers=[name], enable_fallback=0)
        except Exception as error:  # its exceptions share no base class
            if name != wanted[-1]:
                continue
            line = str(error).strip().splitlines()[0]
            if name == _PROVIDERS["cuda"]:
                raise ProviderError(f"CUDA cannot be used here: {line}") from error
            raise ModelError(f"ONNX Runtime cannot load the model: {line}") from error
        if session.get_providers()[0] == name or name == wanted[-1]:
            break
    if provider == "cuda" and session.get_providers()[0] != _PROVIDERS["cuda"]:
        raise ProviderError(
            "CUDA cannot be used here: ONNX Runtime found no usable GPU or CUDA library; "
            "ortist doctor tells more, and --provider cpu works everywhere."
        )
    return session
