"""Execution providers of ONNX Runtime: their names here, the order of ``auto``, their packages.

A provider computes the ops that it knows, and ONNX Runtime's CPU kernels the others. What it gives
is proved before it is used (objective/proving.py).
"""

from __future__ import annotations

from ..errors import ProviderError
from ..options.fields import Provider
from .sessions import load_onnxruntime

__all__ = ["AUTO", "CPU", "PROVIDERS", "candidates", "check_provider"]

CPU = "CPUExecutionProvider"
PROVIDERS: dict[str, str] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "dml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "cann": "CANNExecutionProvider",
    "vitisai": "VitisAIExecutionProvider",
}
"""ONNX Runtime's names, by ours."""
AUTO = ("cuda", "migraphx", "dml", "coreml", "webgpu", "cpu")
"""The order in which ``auto`` tries them: those of graphics cards first. Others must be named."""
_PACKAGES = {
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu",
    "migraphx": "onnxruntime-migraphx",
    "dml": "onnxruntime-directml",
    "openvino": "onnxruntime-openvino",
    "qnn": "onnxruntime-qnn",
}


def candidates(provider: Provider) -> list[str]:
    """Our names of what ``provider`` stands for and this onnxruntime has, first come first tried.

    Raises ProviderError for a provider that this onnxruntime does not have.
    """
    if provider != "auto":
        check_provider(provider)
        return [provider]
    known = load_onnxruntime().get_available_providers()
    return [name for name in AUTO if PROVIDERS[name] in known]


def check_provider(provider: Provider) -> None:
    """Raises ProviderError for a provider that this onnxruntime does not have."""
    runtime = load_onnxruntime()
    if provider != "auto" and PROVIDERS[provider] not in runtime.get_available_providers():
        package = _PACKAGES.get(provider)
        remedy = f"pip install {package}, which has it" if package else (
            "install an onnxruntime that was built with it"
        )  # fmt: skip
        raise ProviderError(
            f"this onnxruntime {runtime.__version__} has no provider {provider!r}; {remedy}, or "
            "take --provider cpu."
        )
