"""Weights for a backbone's layers: from a file of torch.save's (pth.py), or of the ONNX zoo."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .backbones import Backbone
from .errors import ExportError
from .pth import read_state_dict
from .reading import read_model

__all__ = ["Arrays", "Weights", "read_weights"]

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Weights:
    """A file of weights, where it comes from and under which license, as the manifest says."""

    path: Path
    source: str
    license: str

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hex; raises ExportError where it cannot be read."""
        try:
            with open(self.path, "rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise ExportError(f"cannot read {str(self.path)!r} ({error.strerror}).") from error


def read_weights(path: Path, backbone: Backbone, last: int) -> Arrays:
    """The parameters of ``features[: last + 1]``, by the names of ``Backbone.parameters``.

    A file that begins as ONNX does is one of the model zoo's, any other a state dict, of which
    nothing else is read. Raises ExportError for a file that is damaged, that belongs to another
    architecture, or whose numbers are not finite.
    """
    read = _from_zoo if _begins_as_onnx(path) else _from_state_dict
    found = read(path, backbone, last)
    for name, numbers in found.items():
        if not np.isfinite(numbers).all():
            raise ExportError(f"{str(path)!r} cannot be used: the weights {name} are not finite.")
    return found


def _from_state_dict(path: Path, backbone: Backbone, last: int) -> Arrays:
    """Weights of a state dict of torchvision's names."""
    state = read_state_dict(path)
    named = {name.removeprefix("features."): name for name in state.tensors}
    found = {}
    for name, shape in backbone.parameters(last).items():
        own = named.get(name.removeprefix("features."))
        given = None if own is None else state.tensors[own].shape
        if own is None:
            raise _foreign_names(path, name, state.tensors) or _unfit(path, name, shape, None)
        if given != shape:
            raise _unfit(path, name, shape, given)
        found[name] = state.read(own)
    return found


def _begins_as_onnx(path: Path) -> bool:
    """Whether its first bytes are ONNX's field 1, the version of its format, a small number."""
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        head = stream.read(2)
        return head[:1] == b"\x08" and head[1:] < b"\x80"
    return False


def _foreign_names(path: Path, name: str, names: Iterable[str]) -> ExportError | None:
    """The error for a state dict of our layers as parts of something else; None for any other."""
    own = name.removeprefix("features.")
    longer = next((n for n in names if n.endswith(f".{name}") or n == f"module.{own}"), None)
    if longer is None:
        return None
    prefix = longer.removesuffix(own).removesuffix("features.")[-80:]
    return ExportError(
        f"{str(path)!r} names its tensors {prefix!r}…, as a model within another one does; give a "
        f"plain state dict, in which {name} is called so."
    )


def _unfit(path: Path, name: str, shape: Sequence[int], given: Sequence[int] | None) -> ExportError:
    has = "nothing" if given is None else f"shape {tuple(given)}"
    return ExportError(
        f"{str(path)!r} does not fit this architecture: {name} should have shape {tuple(shape)}, "
        f"the file has {has}; export the architecture that the file was made for."
    )


def _from_zoo(path: Path, backbone: Backbone, last: int) -> Arrays:
    """Weights of a zoo's graph, whose convolutions stand in the order of the architecture.

    The layers are built as torchvision has them; the zoo's files of SqueezeNet say nothing of the
    ceil mode that their weights were trained with.
    """
    graph = read_model(path).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    convolutions = iter([node for node in graph.node if node.op_type == "Conv"])
    found: Arrays = {}
    for name, layer in backbone.convolutions(last):
        node = next(convolutions, None)
        given: dict[str, Any] = {}
        if node is not None:
            given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        wanted = ([layer.stride] * 2, [layer.pad] * 4, [1, 1], 1)
        has = (
            list(given.get("strides", [1, 1])),
            list(given.get("pads", [0] * 4)),
            list(given.get("dilations", [1, 1])),
            given.get("group", 1),
        )
        kernel = (layer.outputs, layer.inputs, layer.kernel, layer.kernel)
        shapes = {f"{name}.weight": kernel, f"{name}.bias": (layer.outputs,)}
        values = list(node.input)[1:] if node is not None else []
        for index, (parameter, shape) in enumerate(shapes.items()):
            tensor = constants.get(values[index]) if index < len(values) else None
            dims = None if tensor is None else tuple(tensor.dims)
            if tensor is None or dims != shape or has != wanted:
                raise _unfit(path, parameter, shape, dims)
            found[parameter] = _numbers(path, tensor)
    return found


def _numbers(path: Path, tensor: onnx.TensorProto) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # infinite then, and refused
            return np.asarray(numpy_helper.to_array(tensor), np.float32)
    except (ValueError, TypeError) as error:
        raise ExportError(f"{str(path)!r} is damaged: {tensor.name} has other numbers.") from error
