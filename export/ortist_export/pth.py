"""State dicts in .pth files, read without PyTorch.

torch.save writes one of two forms:

1. Since PyTorch 1.6: a zip archive, nothing in it compressed, with one pickle (``data.pkl``) and
   the numbers of each storage in a member ``data/KEY``.
2. Before: five pickles one after the other (a magic number, a protocol version, facts on the
   machine, the object, the keys of its storages), then each storage: its length, its numbers.

Python's own unpickler builds whatever a file asks for. Here a pickle is interpreted by a machine of
our own with the two dozen instructions that a state dict consists of, and five names: OrderedDict,
the three functions that make a tensor or parameter of a storage, and the storages' types. It makes
numbers, texts, tuples, lists, dicts and ``Tensor``; no function that a file names is ever called.

A few bytes can describe what takes for ever to look through: tuples in tuples, a million deep, or
each twice in the next one. So nothing that a file describes is hashed, compared, written out or
copied before it is known to be a text, a number or short, and a file has a limited number of
instructions. What is deep is then harmless, as nobody goes down into it.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import ExportError

__all__ = ["StateDict", "Tensor", "read_state_dict"]

_MOST_PICKLE = 16 * 2**20
"""Bytes of all pickles of a file; torchvision's largest state dicts have 0.1 MB of them."""
_MOST_STEPS = 2**20
"""Instructions of a file, and items that they copy; some 30 a tensor, and torchvision's largest
state dicts have 1,000 tensors."""
_MOST_TENSOR = 2**30
"""Bytes of one tensor that is read; VGG's largest layer has 411 MB."""
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

_STORAGES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
}
_NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {storage}" for storage in _STORAGES),
}


class _UnfitError(ValueError):
    """The file is not what torch.save writes of a state dict; the message says why."""


@dataclass(frozen=True)
class _Name:
    """A name of the allow-list, as a pickle asks for it."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """``count`` numbers under a key of the file."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass(frozen=True)
class Tensor:
    """A tensor that stands in a file: its ``shape``, and where in a storage its numbers are."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class StateDict:
    """The tensors of a file by name; their numbers are read when they are asked for."""

    def __init__(
        self, path: Path, tensors: Mapping[str, Tensor], data: Callable[[_Storage], bytes]
    ) -> None:
        self.path = path
        self.tensors = tensors
        self._data = data

    def read(self, name: str) -> NDArray[np.float32]:
        """The tensor ``name`` as float32; raises ExportError where its numbers cannot be read."""
        tensor = self.tensors[name]
        try:
            data = self._data(tensor.storage)
        except (*_DAMAGES, MemoryError) as error:
            raise _unreadable(self.path, error) from error
        numbers = np.frombuffer(data, tensor.storage.dtype)[tensor.offset :]
        strides = [stride * numbers.itemsize for stride in tensor.strides]
        view = np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides, writeable=False)
        with np.errstate(over="ignore"):  # infinite then, which is for others to refuse
            return np.array(view, np.float32)


_DAMAGES = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, ArithmeticError, EOFError),
    *(zipfile.BadZipFile, struct.error, RuntimeError),
)
"""What reading a damaged or hostile file raises."""


def read_state_dict(path: Path) -> StateDict:
    """The state dict (names -> tensors) in a file that torch.save wrote, in either form.

    Raises ExportError for a file that is missing, that is something else, or that asks for anything
    beyond tensors.
    """
    try:
        with open(path, "rb") as stream:
            zipped = stream.read(4) == b"PK\3\4"
        found, data = (_read_zip if zipped else _read_sequence)(path)
    except FileNotFoundError as error:
        raise ExportError(f"there is no weights file {str(path)!r}.") from error
    except _DAMAGES as error:
        raise _unreadable(path, error) from error
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise ExportError(
            f"{str(path)!r} holds no state dict (names -> tensors) but {_told(found)}."
        )
    return StateDict(path, found, data)


def _told(found: Any) -> str:
    """What a file holds instead of a state dict, and how to get at one that is within it."""
    if not isinstance(found, dict):
        return {list: "a list", tuple: "a tuple", Tensor: "a tensor"}.get(type(found), "a value")
    for name, value in found.items():
        if isinstance(value, dict) and isinstance(next(iter(value.values()), None), Tensor):
            word = repr(name)[:80]
            return (
                f"a dict whose entry {word} is one, as training leaves it; save that entry alone: "
                f"torch.save(torch.load(path)[{word}], 'weights.pth')"
            )
    return "a dict of other things; give a plain state dict, as module.state_dict() is"


def _unreadable(path: Path, error: BaseException) -> ExportError:
    text = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    reason = text.splitlines()[0].rstrip(".")[:200]
    return ExportError(
        f"{str(path)!r} is not a file of weights that torch.save wrote ({reason}); give a state "
        "dict in .pth form."
    )


def _read_zip(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    """The object of a file of the first form, and what reads its storages."""
    with zipfile.ZipFile(path) as archive:
        pickles = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _UnfitError("it has no data.pkl")
        root = pickles[0].removesuffix("data.pkl")
        found = _Machine(io.BytesIO(_member(archive, pickles[0], _MOST_PICKLE))).run()
        if f"{root}byteorder" in archive.namelist():
            order = _member(archive, f"{root}byteorder", 16)
            if order != b"little":
                raise _UnfitError("its numbers are big-endian")

    def data(storage: _Storage) -> bytes:
        size = storage.count * storage.dtype.itemsize
        with zipfile.ZipFile(path) as archive:
            found = _member(archive, f"{root}data/{storage.key}", size)
        if len(found) != size:
            raise _UnfitError(f"storage {storage.key!r} is cut off")
        return found

    return found, data


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A member that is stored as it is; torch compresses none, so a bomb cannot hide there."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
        raise _UnfitError(f"{name!r} is compressed or too large")
    return archive.read(info)


def _read_sequence(path: Path) -> tuple[Any, Callable[[_Storage], bytes]]:
    """The object of a file of the second form, and what reads its storages."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        head = io.BytesIO(stream.read(min(size, _MOST_PICKLE)))
        if head.getvalue()[:1] != b"\x80":
            raise _UnfitError("it begins like neither of its forms")
        machine = _Machine(head)
        magic, protocol, system = machine.run(), machine.run(), machine.run()
        if magic != _MAGIC or protocol != _PROTOCOL:
            raise _UnfitError("its magic number is another one")
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise _UnfitError("its numbers are big-endian")
        found, keys = machine.run(), machine.run()
        begins, place = dict[str, int](), head.tell()
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise _UnfitError("its storages have other keys than texts")
        for key in keys:
            storage = machine.storages[key]
            stream.seek(place)
            (count,) = struct.unpack("<q", stream.read(8))
            if count != storage.count:
                raise _UnfitError(f"storage {key!r} has {count} numbers, not {storage.count}")
            begins[key] = place + 8
            place += 8 + count * storage.dtype.itemsize
        if place > size:
            raise _UnfitError("it is cut off")

    def data(storage: _Storage) -> bytes:
        with open(path, "rb") as stream:
            stream.seek(begins[storage.key])
            return stream.read(storage.count * storage.dtype.itemsize)

    return found, data


class _Machine:
    """Interprets the pickles of a file, one with each call of ``run``."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._left = _MOST_STEPS
        self.storages: dict[str, _Storage] = {}
        """All storages that tensors stand in, by key."""

    def run(self) -> Any:
        """The object of the next pickle; raises ValueError for what no state dict has."""
        self._stack, self._marks, self._memo = [], [], {}
        for instruction, argument, _ in pickletools.genops(self._stream):
            name = instruction.name
            self._spend(1)
            if name == "STOP":
                return self._stack.pop()
            if name in _LITERALS:
                self._stack.append(argument)
            elif name in _STEPS:
                _STEPS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise _UnfitError(f"its pickle has the instruction {name}")
        raise _UnfitError("its pickle has no end")

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _UnfitError(f"it takes more than {_MOST_STEPS} instructions, and no weights do")

    def mark(self, _: Any) -> None:
        """Remembers where a run of items begins."""
        self._marks.append(len(self._stack))

    def items(self) -> list[Any]:
        """What lies above the last mark, taken off the stack."""
        start = self._marks.pop()
        found = self._stack[start:]
        del self._stack[start:]
        return found

    def push(self, value: Any) -> None:
        """Puts a value on the stack."""
        self._stack.append(value)

    def tuple_of(self, count: int) -> None:
        """Makes a tuple of the last ``count`` values."""
        if len(self._stack) < count:
            raise _UnfitError("its pickle takes more than it has")
        found = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self._stack.append(found)

    def put(self, index: int | None) -> None:
        """Remembers the last value, under the next number where none is given."""
        self._memo[len(self._memo) if index is None else index] = self._stack[-1]

    def get(self, index: int) -> None:
        """Puts a remembered value on the stack."""
        self._stack.append(self._memo[index])

    def set_items(self, pairs: list[Any]) -> None:
        """Adds names and values in turn to the dict on the stack."""
        target = self._stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise _UnfitError("its pickle fills what is no dict")
        target.update(_named(zip(pairs[::2], pairs[1::2], strict=True)))

    def append(self, values: list[Any]) -> None:
        """Adds values to the list on the stack."""
        target = self._stack[-1]
        if not isinstance(target, list):
            raise _UnfitError("its pickle fills what is no list")
        target.extend(values)

    def pop(self) -> Any:
        """The last value, taken off the stack."""
        return self._stack.pop()

    def stack_name(self, _: Any) -> None:
        """A name whose two words stand on the stack."""
        word, module = self._stack.pop(), self._stack.pop()
        if not isinstance(module, str) or not isinstance(word, str):
            raise _UnfitError("its pickle asks for a name that is no text")
        self.name(f"{module} {word}")

    def name(self, name: str) -> None:
        """A name of the allow-list; raises ValueError for any other."""
        if name not in _NAMES:
            raise _UnfitError(f"it asks for {name.replace(' ', '.')[:80]}, which no weights need")
        self._stack.append(_Name(name))

    def persistent(self, _: Any) -> None:
        """A storage: what kind of numbers, under which key, how many."""
        found = self._stack.pop()
        if not isinstance(found, tuple) or len(found) not in (5, 6):
            raise _UnfitError("it has a storage of another form")
        kind, dtype, key, _location, count, *view = found
        if kind != "storage" or not isinstance(dtype, _Name) or any(view):
            raise _UnfitError("it has a storage of another form")
        number_type = _STORAGES[dtype.name.removeprefix("torch ")]
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise _UnfitError("it has a storage of another form")
        storage = _Storage(key, number_type, count)
        if self.storages.setdefault(key, storage) != storage:
            raise _UnfitError(f"storage {key[:80]!r} is described twice, in different ways")
        self._stack.append(storage)

    def reduce(self, _: Any) -> None:
        """What a function of the allow-list would have made of its arguments."""
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            raise _UnfitError("its pickle calls what is no function")
        made: Any
        if function.name == "collections OrderedDict":
            made = self._dict(*arguments)
        elif function.name == "torch._utils _rebuild_parameter":
            made = arguments[0]
            if not isinstance(made, Tensor):
                raise _UnfitError("it has a parameter that is no tensor")
        elif function.name.startswith("torch._utils _rebuild_tensor"):
            made = _tensor(*arguments[:4])
        else:
            raise _UnfitError(f"its pickle calls {function.name}")
        self._stack.append(made)

    def _dict(self, given: Any = ()) -> dict[str | int, Any]:
        """The dict of a dict, or of pairs as Python 2 writes them."""
        self._spend(len(given))
        pairs = given.items() if isinstance(given, dict) else given
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise _UnfitError("its pickle makes a dict of what are no pairs")
        return _named(pairs)

    def build(self, _: Any) -> None:
        """Drops what else an OrderedDict carries: torch's notes on versions."""
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise _UnfitError("its pickle changes what is no dict")


_LITERALS = {
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.items())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(None),
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.items()),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.items()),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
"""Instruction -> what it does; all others have no place in a state dict."""


def _named(pairs: Iterable[Sequence[Any]]) -> dict[str | int, Any]:
    """The dict of pairs whose first ones are texts or whole numbers, as all of a state dict are.

    Raises ValueError for others before they are hashed, which goes down into tuples.
    """
    found: dict[str | int, Any] = {}
    for name, value in pairs:
        if type(name) not in (str, int):
            raise _UnfitError("its pickle has a dict with a key that is no text")
        found[name] = value
    return found


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, most: int = _MOST_TENSOR
) -> Tensor:
    """A tensor that lies within its storage and is no larger than it; raises ValueError."""
    if not isinstance(storage, _Storage) or len(shape) != len(strides) or len(shape) > 8:
        raise _UnfitError("it has a tensor of another form")
    numbers = [offset, *shape, *strides]
    if not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
        raise _UnfitError("it has a tensor of another form")
    size = math.prod(shape)
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if size else 0
    if (size and last >= storage.count) or size > storage.count:
        raise _UnfitError("it has a tensor that is larger than its storage")
    if storage.count * storage.dtype.itemsize > most:
        raise _UnfitError(f"it has a tensor of more than {most} bytes")
    return Tensor(storage, offset, tuple(shape), tuple(strides))
