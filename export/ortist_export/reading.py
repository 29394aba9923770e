"""ONNX files of others: read whole, checked, and refused where they are something else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message

from .errors import ExportError

__all__ = ["contradictions", "read_model"]

_MOST = 2**31 - 1
"""Bytes of a file: protobuf knows no longer message."""


def read_model(path: Path) -> onnx.ModelProto:
    """The model in an ONNX file.

    Raises ExportError for a file that is missing, that is no ONNX file, that is not valid, or whose
    numbers are in files beside it.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(_MOST + 1)
    except FileNotFoundError as error:
        raise ExportError(f"there is no ONNX file {str(path)!r}.") from error
    except OSError as error:
        raise ExportError(f"cannot read {str(path)!r} ({error.strerror}).") from error
    if len(data) > _MOST:
        raise ExportError(f"{str(path)!r} is larger than an ONNX file can be ({_MOST} bytes).")
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, TypeError) as error:
        raise ExportError(
            f"{str(path)!r} is no ONNX file; give a model in ONNX's own format."
        ) from error
    if not model.graph.node:
        raise ExportError(f"{str(path)!r} is no ONNX file, or one without a graph.")
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in _tensors(model)):
        raise ExportError(
            f"{str(path)!r} has its weights in files beside it (external data); save it as one "
            "file, with onnx.save(onnx.load(path), 'one-file.onnx')."
        )
    texts = [text for n in model.graph.node for text in (n.name, n.op_type, *n.input, *n.output)]
    if not all(isinstance(text, str) for text in texts):
        raise ExportError(f"{str(path)!r} is no valid ONNX model (a name in it is no text).")
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")[:200]
        raise ExportError(f"{str(path)!r} is no valid ONNX model ({reason}).") from error
    return model


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """All tensors: constants of the graph and of branches, sparse ones, and those in attributes."""
    left: list[Message] = [model]
    while left:
        message = left.pop()
        if isinstance(message, onnx.TensorProto):
            yield message
            continue
        for field, value in message.ListFields():
            if field.message_type is not None:
                left += [value] if isinstance(value, Message) else value


_CONTRADICTIONS = (
    *(ValueError, LookupError, TypeError, ArithmeticError, NotImplementedError),
    *(onnx.checker.ValidationError, onnx.shape_inference.InferenceError),
)
"""What shapes and numbers raise that do not fit each other."""


@contextlib.contextmanager
def contradictions(path: Path) -> Iterator[None]:
    """Raises ExportError where what a file says does not fit together, and numbers no warning."""
    try:
        with np.errstate(all="ignore"):
            yield
    except _CONTRADICTIONS as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")[:200]
        raise ExportError(f"{path.name} is no valid ONNX model ({reason}).") from error
