"""What becomes of each op of a network of others, in our version of ONNX (adopting.py).

One short function a row: it gets the draft and the given node, appends what stands for it, and
returns the name of the output. What has no gradient rule, or a form that would need another size
for each picture, is refused with an ExportError that names the node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from .draft import Draft, Numbers
from .folding import integers_of

__all__ = ["FORMS", "shuffle", "split"]


# Convolution and normalisation


def _conv(draft: Draft, node: onnx.NodeProto) -> str:
    given = draft.attributes(
        node, "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"
    )
    kernel = draft.constant(node, 1, "kernel")
    if kernel.ndim != 4:
        raise draft.refuse(node, f"its kernel has {kernel.ndim} axes instead of 4")
    bias = np.zeros(len(kernel))
    if len(node.input) > 2 and node.input[2]:
        bias = draft.constant(node, 2, "bias")
    (value,) = draft.live(node)
    group = given.get("group", 1)
    if draft.channels[value] != kernel.shape[1] * group:
        raise draft.refuse(node, f"it gets {draft.channels[value]} channels")
    if draft.swapped and value == "image":
        if group != 1:
            raise draft.refuse(node, "it sees the picture's channels apart")
        kernel = kernel[:, ::-1]
    given["dilations"] = list(given.get("dilations", [1, 1]))
    window = _window(draft, node, given, kernel.shape[2:])
    form = {"dilations": given["dilations"]} if given["dilations"] != [1, 1] else {}
    form |= {"group": group} if group != 1 else {}
    made = draft.op(node, "Conv", value, channels=len(kernel), **window, **form)
    draft.kernels[made] = [kernel.astype(np.float64), bias.astype(np.float64)]
    return made


def _window(
    draft: Draft, node: onnx.NodeProto, given: dict[str, Any], kernel: Sequence[int]
) -> dict[str, Any]:
    """Kernel, strides and pads, which auto_pad may say."""
    strides, pads = list(given.get("strides", [1, 1])), list(given.get("pads", [0] * 4))
    auto = given.get("auto_pad", b"NOTSET").decode()
    if auto == "VALID":
        pads = [0] * 4
    elif auto.startswith("SAME"):
        # With strides, its pads differ from size to size: those of whole numbers of strides count,
        # which the sizes are that such networks are trained with.
        extents = zip(given.get("dilations", [1, 1]), kernel, strides, strict=True)
        whole = [max(0, d * (size - 1) + 1 - stride) for d, size, stride in extents]
        less, more = [w // 2 for w in whole], [w - w // 2 for w in whole]
        pads = [*less, *more] if auto == "SAME_UPPER" else [*more, *less]
    return {"kernel_shape": [int(k) for k in kernel], "strides": strides, "pads": pads}


def _normalize(draft: Draft, node: onnx.NodeProto) -> str:
    given = draft.attributes(node, "epsilon", "momentum", "spatial", "training_mode", "is_test")
    if given.get("training_mode") or given.get("spatial", 1) != 1:
        raise draft.refuse(node, "it is in training mode")
    whats = ("scale", "shift", "mean", "variance")
    scale, shift, mean, variance = (
        draft.constant(node, i, what).astype(np.float64).flatten()
        for i, what in enumerate(whats, start=1)
    )
    factor = scale / np.sqrt(variance + given.get("epsilon", 1e-5))
    (value,) = draft.live(node)
    return draft.affine(node, value, factor, shift - mean * factor)


def _normalize_over_places(draft: Draft, node: onnx.NodeProto) -> str:
    """(x - mean) / sqrt(variance + epsilon), both over all places, then a scale and a shift."""
    epsilon = draft.attributes(node, "epsilon").get("epsilon", 1e-5)
    scale, shift = (
        draft.constant(node, i, what).astype(np.float64).flatten()
        for i, what in ((1, "scale"), (2, "shift"))
    )
    (value,) = draft.live(node)
    given = {"channels": draft.channels[value]}
    mean = draft.op(node, "GlobalAveragePool", value, **given)
    against = draft.op(node, "Mul", mean, draft.builder.constant(-1.0), **given)
    centred = draft.op(node, "Add", value, against, **given)
    square = draft.op(node, "Mul", centred, centred, **given)
    variance = draft.op(node, "GlobalAveragePool", square, **given)
    kept = draft.op(node, "Add", variance, draft.builder.constant(epsilon), **given)
    factor = draft.op(node, "Pow", kept, draft.builder.constant(-0.5), **given)
    normal = draft.op(node, "Mul", centred, factor, **given)
    made = draft.op(node, "BatchNormalization", normal, epsilon=0.0, **given)
    draft.kernels[made] = [np.broadcast_to(n, draft.channels[value]) for n in (scale, shift)]
    return made


# Sums and products


def _sum(draft: Draft, node: onnx.NodeProto) -> str:
    return _combined(draft, node, lambda n: (np.ones(1), n), "Add")


def _difference(draft: Draft, node: onnx.NodeProto) -> str:
    if node.input[0] in draft.known:
        return _combined(draft, node, lambda n: (-np.ones(1), n), "")
    return _combined(draft, node, lambda n: (np.ones(1), -n), "")


def _product(draft: Draft, node: onnx.NodeProto) -> str:
    return _combined(draft, node, lambda n: (n, np.zeros(1)), "Mul")


def _quotient(draft: Draft, node: onnx.NodeProto) -> str:
    if node.input[0] in draft.known:
        raise draft.refuse(node, "it divides by features")
    return _combined(draft, node, lambda n: (1 / n, np.zeros(1)), "")


def _combined(
    draft: Draft,
    node: onnx.NodeProto,
    affine: Callable[[Numbers], tuple[Numbers, Numbers]],
    op: str,
) -> str:
    """A number for each channel becomes a scale and a shift; maps are combined by ``op``."""
    live = draft.live(node)
    numbers = [draft.known[name] for name in node.input if name in draft.known]
    if len(live) == 1 and len(numbers) == 1:
        number = numbers[0].astype(np.float64)
        shape = (1,) * (4 - number.ndim) + number.shape
        if len(shape) != 4 or shape[0] != 1 or shape[2:] != (1, 1):
            raise draft.refuse(node, "it has a number for each place")
        if shape[1] not in (1, draft.channels[live[0]]):
            raise draft.refuse(node, "it repeats channels")
        return draft.affine(node, live[0], *affine(number))
    if numbers or not op:
        raise draft.refuse(node, "it combines maps in another way")
    channels = {draft.channels[value] for value in live}
    if len(channels) > 1:
        raise draft.refuse(node, "it repeats channels")
    total = live[0]
    for value in live[1:]:
        total = draft.op(node, op, total, value, channels=max(channels))
    return total


# Activations


def _same(draft: Draft, node: onnx.NodeProto) -> str:
    """An activation that our version of ONNX has as it is."""
    allowed = {"LeakyRelu": ("alpha",), "HardSigmoid": ("alpha", "beta")}
    given = draft.attributes(node, *allowed.get(node.op_type, ()))
    (value,) = draft.live(node)
    return draft.op(node, node.op_type, value, channels=draft.channels[value], **given)


def _prelu(draft: Draft, node: onnx.NodeProto) -> str:
    slope = draft.constant(node, 1, "slope")
    (value,) = draft.live(node)
    channels = draft.channels[value]
    if slope.size not in (1, channels):
        raise draft.refuse(node, "it has a slope for each place")
    name = draft.builder.constant(slope.reshape(-1, 1, 1), name="slope")
    return draft.op(node, "PRelu", value, name, channels=channels)


def _clip(draft: Draft, node: onnx.NodeProto) -> str:
    given = draft.attributes(node, "min", "max")
    bounds = [given.get("min"), given.get("max")]
    for index, what in ((1, "least value"), (2, "largest value")):
        if len(node.input) > index and node.input[index]:
            bounds[index - 1] = float(draft.constant(node, index, what))
    names = ["" if b is None else draft.builder.constant(b, name="bound") for b in bounds]
    (value,) = draft.live(node)
    return draft.op(node, "Clip", value, *names, channels=draft.channels[value])


def _hard_swish(draft: Draft, node: onnx.NodeProto) -> str:
    (value,) = draft.live(node)
    channels = draft.channels[value]
    gate = draft.op(node, "HardSigmoid", value, channels=channels, alpha=1 / 6, beta=0.5)
    return draft.op(node, "Mul", value, gate, channels=channels)


# Poolings


def _pool(draft: Draft, node: onnx.NodeProto) -> str:
    own = {"MaxPool": ("storage_order",), "AveragePool": ("count_include_pad",)}
    given = draft.attributes(
        *(node, "auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"),
        *own[node.op_type],
    )
    form: dict[str, Any] = {"ceil_mode": 1} if given.get("ceil_mode") else {}
    if list(given.get("dilations", [1, 1])) != [1, 1]:
        if node.op_type == "AveragePool":
            raise draft.refuse(node, "it is dilated")
        form["dilations"] = list(given["dilations"])
    (value,) = draft.live(node)
    window = _window(draft, node, given, given["kernel_shape"])
    # Without padding nothing else counts, but ONNX Runtime before 1.30 adds what ceil_mode does.
    if given.get("count_include_pad") and any(window.get("pads", ())):
        form["count_include_pad"] = 1
    return draft.op(node, node.op_type, value, channels=draft.channels[value], **window, **form)


def _mean(draft: Draft, node: onnx.NodeProto) -> str:
    (value,) = draft.live(node)
    return draft.op(node, "GlobalAveragePool", value, channels=draft.channels[value])


# Channels and places


def _concat(draft: Draft, node: onnx.NodeProto) -> str:
    axis = draft.attributes(node, "axis").get("axis", 1)
    live = draft.live(node)
    if axis not in (1, -3) or len(live) != len(node.input):
        raise draft.refuse(node, "it does not join the channels of maps")
    channels = sum(draft.channels[value] for value in live)
    return draft.op(node, "Concat", *live, channels=channels, axis=1)


def split(draft: Draft, node: onnx.NodeProto, index: int) -> str:
    """The channels that the output of that number gets of a Split."""
    given = draft.attributes(node, "axis", "split", "num_outputs")
    (value,) = draft.live(node)
    channels, count = draft.channels[value], len(node.output)
    lengths = list(given.get("split", []))
    if len(node.input) > 1 and node.input[1]:
        lengths = integers_of(draft.constant(node, 1, "lengths"))
    if not lengths:  # alike, but for the last one
        each = -(-channels // count)
        lengths = [min(each, channels - each * i) for i in range(count)]
    if len(lengths) != count or sum(lengths) != channels or min(lengths) < 1:
        raise draft.refuse(node, f"{channels} channels are not {lengths}")
    start = sum(lengths[:index])
    bounds = [draft.builder.integers([n]) for n in (start, start + lengths[index], 1)]
    return draft.op(node, "Slice", value, *bounds, channels=lengths[index])


def _lrn(draft: Draft, node: onnx.NodeProto) -> str:
    given = draft.attributes(node, "alpha", "beta", "bias", "size")
    (value,) = draft.live(node)
    return draft.op(node, "LRN", value, channels=draft.channels[value], **given)


def shuffle(draft: Draft, node: onnx.NodeProto) -> str:
    """Channels in another order, as the last node of a shuffle gives them."""
    shuffle = draft.found.shuffles[node.output[0]]
    value = draft.names[draft.alias(shuffle.source)]
    channels = draft.channels[value]
    if channels % shuffle.groups:
        raise draft.refuse(node, f"{channels} channels are not {shuffle.groups} groups")
    order = np.arange(channels).reshape(shuffle.groups, -1).T.flatten()
    name = draft.builder.integers(order, name="order")
    return draft.op(node, "Gather", value, name, channels=channels, axis=1)


def _pad(draft: Draft, node: onnx.NodeProto) -> str:
    given = draft.attributes(node, "mode", "pads", "paddings", "value")
    mode = given.get("mode", b"constant").decode()
    if mode not in ("constant", "reflect", "edge"):
        raise draft.refuse(node, f"it pads by {mode}")
    pads = given.get("pads") or given.get("paddings")
    number = given.get("value", 0.0)
    if pads is None:
        pads = integers_of(draft.constant(node, 1, "pads"))
        if len(node.input) > 2 and node.input[2]:
            number = float(draft.constant(node, 2, "value"))
        if len(node.input) > 3 and node.input[3]:
            axes = integers_of(draft.constant(node, 3, "axes"))
            whole = [0] * 8
            for index, axis in enumerate(axes):
                whole[axis % 4], whole[axis % 4 + 4] = pads[index], pads[index + len(axes)]
            pads = whole
    if len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)) or min(pads) < 0:
        raise draft.refuse(node, "it pads or cuts other axes than height and width")
    (value,) = draft.live(node)
    channels, sides = draft.channels[value], draft.builder.integers(pads, name="pads")
    if mode != "constant":
        return draft.op(node, "Pad", value, sides, channels=channels, mode=mode)
    return draft.op(node, "Pad", value, sides, draft.builder.constant(number), channels=channels)


def _resize(draft: Draft, node: onnx.NodeProto) -> str:
    given = draft.attributes(
        *(node, "mode", "scales", "coordinate_transformation_mode", "nearest_mode"),
        *("cubic_coeff_a", "exclude_outside", "extrapolation_value", "antialias"),
    )
    scales = given.get("scales")
    index = 1 if node.op_type == "Upsample" or len(node.input) == 2 else 2
    if scales is None:
        scales = draft.constant(node, index, "scales").flatten()
    times = [float(scale) for scale in scales]
    whole = len(times) == 4 and times[:2] == [1, 1] and all(t >= 1 and t % 1 == 0 for t in times)
    old = node.op_type == "Upsample" or index == 1
    place = given.get("coordinate_transformation_mode", b"asymmetric" if old else b"half_pixel")
    nearest = given.get("nearest_mode", b"floor" if old else b"round_prefer_floor")
    copies = (place, nearest) == (b"asymmetric", b"floor") or (
        place in (b"half_pixel", b"pytorch_half_pixel")
        and nearest in (b"round_prefer_floor", b"round_prefer_ceil")
    )
    if not whole or not copies or given.get("mode", b"nearest") != b"nearest":
        raise draft.refuse(node, "it does more than repeat places a whole number of times")
    (value,) = draft.live(node)
    return draft.op(
        node,
        "Resize",
        value,
        "",
        draft.builder.constant(times, name="scales"),
        channels=draft.channels[value],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


FORMS: dict[str, Callable[[Draft, onnx.NodeProto], str]] = {
    "Conv": _conv,
    "BatchNormalization": _normalize,
    "InstanceNormalization": _normalize_over_places,
    "Add": _sum,
    "Sum": _sum,
    "Sub": _difference,
    "Mul": _product,
    "Div": _quotient,
    **dict.fromkeys(("Relu", "LeakyRelu", "Sigmoid", "HardSigmoid"), _same),
    "PRelu": _prelu,
    "Clip": _clip,
    "HardSwish": _hard_swish,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _mean,
    "ReduceMean": _mean,
    "Concat": _concat,
    "LRN": _lrn,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
}
"""Op -> what is made of it."""
