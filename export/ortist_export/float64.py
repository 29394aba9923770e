"""Graphs in float64: ONNX's reference evaluator, with ops of our own where it is slow or wrong.

ONNX Runtime has no float64 kernels for convolutions. The reference evaluator has, but takes minutes
for a network; here its convolution and poolings are sums over the places of a window, in NumPy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

__all__ = ["evaluator", "in_float64"]

Values = NDArray[Any]


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """What runs ``model`` in the types that it has."""
    return ReferenceEvaluator(model, new_ops=[Conv, ConvTranspose, MaxPool, AveragePool, Pad, LRN])


def in_float64(model: onnx.ModelProto, on: Collection[str] | None = None) -> onnx.ModelProto:
    """A copy of a model with float64 in the place of float32.

    With ``on``, truth values without a file (switches) are true if their name is in it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL and on is not None:
            tensor.CopyFrom(numpy_helper.from_array(np.array(tensor.name in on), tensor.name))
        _double(tensor)
    for value in (*copy.graph.input, *copy.graph.output, *copy.graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    _double_within(copy.graph)
    return copy


def _double_within(graph: onnx.GraphProto) -> None:
    """Constants in attributes, and targets of casts, those of branches included."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _double_within(attribute.g)
            elif attribute.type == AttributeProto.TENSOR:
                _double(attribute.t)
            elif node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE


def _double(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        numbers = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))


def _padded(x: Values, pads: Sequence[int], value: float) -> Values:
    (top, left, bottom, right) = pads
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _views(
    x: Values, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[Values], list[int]]:
    """For each place of the window the map of what stands there, and the height and width."""
    size = [(x.shape[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in (0, 1)]
    return [
        x[
            :,
            :,
            down * dilations[0] :: strides[0],
            right * dilations[1] :: strides[1],
        ][:, :, : size[0], : size[1]]
        for down in range(kernel[0])
        for right in range(kernel[1])
    ], size


class Conv(OpRun):
    """2-D convolution."""

    op_domain = ""

    def _run(
        self,
        x: Values,
        weight: Values,
        bias: Values | None = None,
        auto_pad: Any = None,
        dilations: Any = None,
        group: Any = None,
        kernel_shape: Any = None,
        pads: Any = None,
        strides: Any = None,
    ) -> tuple[Values]:
        assert auto_pad in (None, "NOTSET")
        group, outputs = group or 1, len(weight)
        padded = _padded(x, pads or [0] * 4, 0.0)
        kernel = weight.shape[2:]
        views, size = _views(padded, kernel, strides or [1, 1], dilations or [1, 1])
        y = np.zeros((group, outputs // group, size[0] * size[1]), x.dtype)
        places = weight.reshape(group, outputs // group, weight.shape[1], -1)
        for index, view in enumerate(views):
            y += places[..., index] @ view.reshape(group, weight.shape[1], -1)
        y = y.reshape(1, outputs, *size)
        return (y if bias is None else y + bias.reshape(-1, 1, 1),)


class ConvTranspose(OpRun):
    """The transpose of a 2-D convolution."""

    op_domain = ""

    def _run(
        self,
        x: Values,
        weight: Values,
        bias: Values | None = None,
        auto_pad: Any = None,
        dilations: Any = None,
        group: Any = None,
        kernel_shape: Any = None,
        output_padding: Any = None,
        output_shape: Any = None,
        pads: Any = None,
        strides: Any = None,
    ) -> tuple[Values]:
        assert auto_pad in (None, "NOTSET")
        assert bias is None
        assert not output_shape
        group, strides = group or 1, strides or [1, 1]
        dilations, extra = dilations or [1, 1], output_padding or [0, 0]
        kernel, outputs = weight.shape[2:], weight.shape[1]
        size = [
            (x.shape[2 + i] - 1) * strides[i] + dilations[i] * (kernel[i] - 1) + 1 + extra[i]
            for i in (0, 1)
        ]
        y = np.zeros((1, group * outputs, *size), x.dtype)
        places = weight.reshape(group, -1, outputs, kernel[0] * kernel[1])
        grouped = x.reshape(group, weight.shape[0] // group, -1)
        for index in range(kernel[0] * kernel[1]):
            down, right = index // kernel[1] * dilations[0], index % kernel[1] * dilations[1]
            rows = slice(down, down + (x.shape[2] - 1) * strides[0] + 1, strides[0])
            columns = slice(right, right + (x.shape[3] - 1) * strides[1] + 1, strides[1])
            part = places[..., index].swapaxes(1, 2) @ grouped
            y[:, :, rows, columns] += part.reshape(1, group * outputs, *x.shape[2:])
        top, left, bottom, right = pads or [0] * 4
        return (y[:, :, top : size[0] - bottom, left : size[1] - right],)


def _extended(
    x: Values,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    ceil: bool,
    value: float,
    rim: float | None = None,
) -> Values:
    """The padded map, longer where ceil_mode lets a window end beyond it, cut where it may not.

    Filled with ``value``, the padding with ``rim`` where that is another one.
    """
    ends = list(pads[2:])
    for axis in (0, 1):
        length = x.shape[2 + axis] + pads[axis]
        room = length + pads[2 + axis] - dilations[axis] * (kernel[axis] - 1) - 1
        count = (-(-room // strides[axis]) if ceil else room // strides[axis]) + 1
        # A window that would begin in the padding behind the map is none.
        if ceil and (count - 1) * strides[axis] >= length:
            count -= 1
        needed = (count - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        ends[axis] = max(0, needed - length)
        if needed < length:
            cut = needed - pads[axis]
            x = x[:, :, :cut] if axis == 0 else x[:, :, :, :cut]
    if rim is None:
        return _padded(x, [*pads[:2], *ends], value)
    inner = [min(end, pad) for end, pad in zip(ends, pads[2:], strict=True)]
    beyond = [end - pad for end, pad in zip(ends, inner, strict=True)]
    return _padded(_padded(x, [*pads[:2], *inner], rim), [0, 0, *beyond], value)


class MaxPool(OpRun):
    """The maximum of each window, and which it is: the first in row order."""

    op_domain = ""

    def _run(
        self,
        x: Values,
        auto_pad: Any = None,
        ceil_mode: Any = None,
        dilations: Any = None,
        kernel_shape: Any = None,
        pads: Any = None,
        storage_order: Any = None,
        strides: Any = None,
    ) -> tuple[Values, ...]:
        assert auto_pad in (None, "NOTSET")
        assert not storage_order
        form = (kernel_shape, strides or [1, 1], dilations or [1, 1])
        pads = pads or [0] * 4
        places = np.arange(x.size).reshape(x.shape)
        maps, where = (
            np.stack(_views(_extended(v, *form, pads, bool(ceil_mode), least), *form)[0])
            for v, least in ((x, -np.inf), (places, -1))
        )
        first = maps.argmax(0)[None]
        largest = np.take_along_axis(maps, first, 0)[0]
        if len(self.onnx_node.output) == 1:
            return (largest,)
        return largest, np.take_along_axis(where, first, 0)[0]


class AveragePool(OpRun):
    """The mean of each window, over what lies inside the border."""

    op_domain = ""

    def _run(
        self,
        x: Values,
        auto_pad: Any = None,
        ceil_mode: Any = None,
        count_include_pad: Any = None,
        dilations: Any = None,
        kernel_shape: Any = None,
        pads: Any = None,
        strides: Any = None,
    ) -> tuple[Values]:
        assert auto_pad in (None, "NOTSET")
        form = (kernel_shape, strides or [1, 1], dilations or [1, 1])
        pads, ceil, counted = pads or [0] * 4, bool(ceil_mode), np.ones_like(x[:, :1])
        rim = 1.0 if count_include_pad else 0.0
        sums = sum(_views(_extended(x, *form, pads, ceil, 0.0), *form)[0])
        counts = sum(_views(_extended(counted, *form, pads, ceil, 0.0, rim), *form)[0])
        return (np.asarray(sums / counts),)


class LRN(OpRun):
    """Features over a power of the energy of channels near by (the evaluator's sums up a few)."""

    op_domain = ""

    def _run(
        self, x: Values, alpha: Any = None, beta: Any = None, bias: Any = None, size: Any = None
    ) -> tuple[Values]:
        before = (size - 1) // 2
        padded = np.pad(x**2, ((0, 0), (before, size - 1 - before), (0, 0), (0, 0)))
        energy = sum(padded[:, first : first + x.shape[1]] for first in range(size))
        return (x / (bias + alpha / size * energy) ** beta,)


class Pad(OpRun):
    """Constant padding where a negative number cuts, as in ONNX, or by the border or a mirror."""

    op_domain = ""

    def _run(
        self,
        x: Values,
        pads: Values,
        value: Any = None,
        axes: Any = None,
        mode: Any = None,
    ) -> tuple[Values]:
        along = range(x.ndim) if axes is None else axes
        for position, axis in enumerate(along):
            before, after = pads[position], pads[position + len(pads) // 2]
            cut = slice(max(0, -before), x.shape[axis] - max(0, -after))
            x = x[tuple(cut if a == axis else slice(None) for a in range(x.ndim))]
            widths = [(0, 0)] * x.ndim
            widths[axis] = (max(0, before), max(0, after))
            if mode in ("edge", "reflect"):
                x = np.pad(x, widths, mode=mode)
            else:
                x = np.pad(x, widths, constant_values=0.0 if value is None else value)
        return (x,)
