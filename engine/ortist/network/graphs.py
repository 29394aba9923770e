"""What a model's graph may consist of, looked at before ONNX Runtime opens it.

A right hash says that a file is what its manifest names, not that it does no harm. So the file is
walked here, as protobuf (protobuf.dev, "Encoding"; onnx.proto for the fields): ops are those that
the workshop writes, of ONNX's own domain, without functions, loops or other control flow than the
If that a switch decides; and whole numbers, of which sizes are made, are small.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

__all__ = ["check_graph"]

_OPS = {
    *("Add", "AveragePool", "BatchNormalization", "Cast", "Clip", "Concat", "Constant"),
    *("ConstantOfShape", "Conv", "ConvTranspose", "Div", "Expand", "Flatten", "Gather", "Gemm"),
    *("GlobalAveragePool", "Greater", "HardSigmoid", "HardSwish", "Identity", "If", "LRN"),
    *("LeakyRelu", "MatMul", "Max", "MaxPool", "Mul", "Neg", "PRelu", "Pad", "Pow", "ReduceMean"),
    *("ReduceProd", "ReduceSum", "Relu", "Reshape", "Resize", "ScatterElements", "Shape"),
    *("Sigmoid", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Transpose"),
    *("Unsqueeze",),
}
_INT32, _INT64 = 6, 7
"""Types of elements (TensorProto.DataType)."""
_TO_THE_END = (2**31 - 1, 2**63 - 1)
"""Ends of slices that stand for the end of the axis."""
_MOST_NUMBERS, _LARGEST = 64, 2**24
"""Numbers in a tensor of whole ones, and their product: a tensor of such sides has 64 MB."""
_MOST_INDICES = 2**14
"""Whole numbers in one tensor."""
_DEEPEST = 6


def check_graph(data: bytes) -> None:
    """Raises ValueError for a model that holds what none from the workshop does."""
    fields = list(_fields(memoryview(data)))
    if any(number in (20, 25) for number, _ in fields):  # training_info, functions
        raise ValueError("it has functions or training graphs")
    for number, value in fields:
        if number == 7 and isinstance(value, memoryview):
            _check_graph(value, 0)


def _check_graph(data: memoryview, depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    lengths = _lengths(data)
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            _check_node(value, depth)
        elif number == 5:
            _check_tensor(value, lengths)
        elif number == 15:
            raise ValueError("it has sparse tensors")


def _lengths(data: memoryview) -> set[bytes]:
    """Names that a graph's Splits alone read: lengths of parts, which make no larger whole."""
    reads = list(_reads(data, 0))
    split = {names[1] for op, names in reads if op == b"Split" and len(names) > 1}
    return split - {n for op, names in reads for n in (names[:1] if op == b"Split" else names)}


def _reads(data: memoryview, depth: int) -> Iterator[tuple[bytes, list[bytes]]]:
    """(op, names of inputs) of the nodes of a graph and of those in it."""
    if depth > _DEEPEST:
        raise ValueError("its graphs are nested too deeply")
    for number, value in _fields(data):
        if number != 1 or not isinstance(value, memoryview):
            continue
        fields = [(n, v) for n, v in _fields(value) if isinstance(v, memoryview)]
        yield (
            next((bytes(v) for n, v in fields if n == 4), b""),
            [bytes(v) for n, v in fields if n == 1],
        )
        for n, attribute in fields:
            if n == 5:
                for part, graph in _fields(attribute):
                    if part in (6, 11) and isinstance(graph, memoryview):
                        yield from _reads(graph, depth + 1)


def _check_node(data: memoryview, depth: int) -> None:
    op, domain = "", ""
    for number, value in _fields(data):
        if isinstance(value, memoryview):
            if number == 4:
                op = bytes(value).decode()
            elif number == 7:
                domain = bytes(value).decode()
            elif number == 5:
                _check_attribute(value, depth)
    if op not in _OPS or domain not in ("", "ai.onnx"):
        raise ValueError(f"it has the op {f'{domain}.{op}'.lstrip('.')!r:.80}")


def _check_attribute(data: memoryview, depth: int) -> None:
    numbers: list[int] = []
    for number, value in _fields(data):
        if number in (6, 11) and isinstance(value, memoryview):
            _check_graph(value, depth + 1)
        elif number in (5, 10) and isinstance(value, memoryview):
            _check_tensor(value)
        elif number in (22, 23):
            raise ValueError("it has sparse tensors")
        elif number in (3, 8):
            numbers += [value] if isinstance(value, int) else _varints(value)
    _check_numbers(numbers)


def _check_tensor(data: memoryview, lengths: Collection[bytes] = ()) -> None:
    name, kind, sides, numbers = b"", 0, [1], []
    raw = memoryview(b"")
    for number, value in _fields(data):
        if number == 1:
            sides += [value] if isinstance(value, int) else _varints(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number in (5, 7):
            numbers += [value] if isinstance(value, int) else _varints(value)
        elif number == 9 and isinstance(value, memoryview):
            raw = value
        elif number == 8 and isinstance(value, memoryview):
            name = bytes(value)
    if math.prod(sides) > _LARGEST:
        raise ValueError(f"it has a tensor of {math.prod(sides)} numbers")
    if kind in (_INT32, _INT64):
        size = 4 if kind == _INT32 else 8
        if len(raw) > size * _MOST_INDICES:
            raise ValueError("it has a tensor of too many whole numbers")
        for begin in range(0, len(raw), size):
            numbers.append(int.from_bytes(raw[begin : begin + size], "little", signed=True))
        if len(numbers) > _MOST_NUMBERS:  # a list of channels, say: no tensor has so many sides
            numbers = [max(map(abs, numbers))]
        _check_numbers([sum(map(abs, numbers))] if name in lengths else numbers)


def _check_numbers(numbers: list[int]) -> None:
    """Raises ValueError for more whole numbers than 64, or such as would make a large tensor."""
    sides = [abs(_signed(n)) for n in numbers if n not in _TO_THE_END]
    if len(numbers) > _MOST_NUMBERS or math.prod(side or 1 for side in sides) > _LARGEST:
        raise ValueError(f"it has the sizes {numbers!s:.80}")


def _signed(number: int) -> int:
    """A varint as a number of 64 bits with a sign."""
    return number - 2**64 if number >= 2**63 else number


def _varints(data: memoryview) -> list[int]:
    numbers, place = [], 0
    while place < len(data):
        number, place = _varint(data, place)
        numbers.append(number)
        if len(numbers) > _MOST_NUMBERS:
            raise ValueError("it has too many whole numbers in one place")
    return numbers


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """A whole number of 7 bits a byte, and where it ends; raises ValueError where it does not."""
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise ValueError("it is cut short or no ONNX")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a message: (number, whole number or bytes); raises ValueError for others."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            size, place = _varint(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("it is no ONNX")
        if place + size > len(data):
            raise ValueError("it is cut short")
        yield number, data[place : place + size]
        place += size
