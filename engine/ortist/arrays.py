"""Arrays that need not be in memory: the loop works on them without knowing where they are.

Every kind has the shape [..., H, W] and answers ``array[..., rows, columns]`` with a NumPy array: a
NumPy array itself; a ``Stored`` one, in a file; a ``Derived`` one, computed from others as it is
asked for. ``Arrays`` makes new ones, in memory or in a folder, and applies functions to them some
rows at a time (``row_slices``). Those slices are about memory and the processor's cache alone: they
are neither the bands that a step is computed in (objective/bands.py) nor the strips of a file
(pictures/strips.py).

A file is read and written in its place, by plain calls: the pages of a mapped file would count as
the process's own memory. It has no name, so that it is gone when its array is, or the process,
however that ends. (Where the system cannot do that, it is removed with the array.)
"""

from __future__ import annotations

import contextvars
import errno
import math
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import OutputError
from .recycling import Recycler

__all__ = [
    "Array",
    "Arrays",
    "Derived",
    "Field",
    "Rows",
    "Stored",
    "chunks",
    "pixel_row_slices",
    "resample",
    "row_slices",
    "whole",
]

_SLICE_BYTES = 2**20
"""Bytes of one array in one slice of rows: the slices of a step stay in the processor's cache."""
_COLUMNS_BYTES = 2**25
"""Bytes of the columns that are resized at once."""

Array = NDArray[np.float32]
"""An array of float32 in memory: values of pixels or features."""
Block = NDArray[Any]
"""A part of an array, of its type, in memory."""
Key = Any
"""(..., slice, slice): NumPy's own indices cannot be written as a type."""


class Stored:
    """An array [..., H, W] in a file of ``folder``, all zero at first.

    The file has no name and ends with the array. Raises OutputError where it cannot be made,
    written or read.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: Any = np.float32) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._folder = folder
        self._first = 0  # plane of the file where this array begins
        try:
            self._file = _File(folder, self.nbytes)
        except OSError as error:
            raise _full(folder, error) from error

    @property
    def nbytes(self) -> int:
        """Bytes of all its elements."""
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def __getitem__(self, key: Key) -> Block:
        rows, columns = _ranges(key, self.shape)
        block = np.empty((*self.shape[:-2], len(rows), len(columns)), self.dtype)
        try:
            for place, part in self._runs(block, rows, columns):
                self._file.read(place, part)
        except OSError as error:
            raise OutputError(
                f"cannot read the run's state in {str(self._folder)!r} ({error.strerror})."
            ) from error
        return block

    def __setitem__(self, key: Key, values: Any) -> None:
        rows, columns = _ranges(key, self.shape)
        shape = (*self.shape[:-2], len(rows), len(columns))
        block = np.ascontiguousarray(np.broadcast_to(values, shape), self.dtype)
        try:
            for place, part in self._runs(block, rows, columns):
                self._file.write(place, part)
        except OSError as error:
            raise _full(self._folder, error) from error

    def plane(self, index: int) -> Stored:
        """One of its planes, [H, W], in the same file."""
        part = object.__new__(Stored)
        part.__dict__.update(self.__dict__, shape=self.shape[-2:], _first=self._first + index)
        return part

    def _runs(self, block: Block, rows: range, columns: range) -> Iterator[tuple[int, memoryview]]:
        """The parts of ``block`` that lie in one piece in the file, each with its first byte's."""
        height, width = self.shape[-2:]
        for plane, lines in enumerate(block.reshape(-1, len(rows), len(columns)), self._first):
            parts = [lines] if len(columns) == width else lines
            for row, part in enumerate(parts, rows.start):
                place = (plane * height + row) * width + columns.start
                yield place * self.dtype.itemsize, part.data.cast("B")


class Derived:
    """A function of arrays of one size, computed as parts of it are asked for.

    ``function`` works value by value along rows and columns: it gets the same part of each source
    and returns that part of this array, of type ``dtype``.
    """

    def __init__(
        self, function: Callable[..., Block], *sources: Field, dtype: Any = np.float32
    ) -> None:
        self._function, self._sources = function, sources
        self.dtype = np.dtype(dtype)
        self.shape: tuple[int, ...] = tuple(sources[0].shape)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, key: Key) -> Block:
        return self._function(*(source[key] for source in self._sources))


Field = NDArray[Any] | Stored | Derived
"""An array [..., H, W], wherever it is."""


class Rows:
    """An array [1, C, H, W] seen as pixels, [H, W, C]; ``rows[top:bottom]`` is a NumPy array."""

    def __init__(self, planes: Field) -> None:
        self.planes = planes
        self.dtype, self.nbytes = planes.dtype, planes.nbytes
        self.shape = (planes.shape[-2], planes.shape[-1], planes.shape[-3])

    def __getitem__(self, rows: slice) -> Block:
        planes = self.planes[(..., rows, slice(None))]
        return np.ascontiguousarray(planes.reshape(planes.shape[-3:]).transpose(1, 2, 0))


def whole(array: Field) -> Array:
    """All of an array [..., H, W] in memory; no copy where it is there."""
    if isinstance(array, np.ndarray):
        return array
    values: Array = array[..., slice(None), slice(None)]
    return values


def row_slices(array: Any, axis: int = -2) -> Iterator[slice]:
    """The rows of an array [..., H, W] from top to bottom, about 1 MiB in each slice."""
    height = array.shape[axis]
    step = max(1, _SLICE_BYTES * height // max(1, array.nbytes))
    for top in range(0, height, step):
        yield slice(top, min(height, top + step))


def pixel_row_slices(pixels: Any) -> Iterator[slice]:
    """The rows of pixels [H, W, C], a NumPy array or ``Rows``, about 1 MiB in each slice."""
    return row_slices(pixels, 0)


def chunks(array: Any) -> Iterator[memoryview]:
    """The bytes of an array or of ``Rows`` in C order, some rows at a time if it is in a file."""
    if isinstance(array, np.ndarray):
        yield np.ascontiguousarray(array).data.cast("B")
        return
    if isinstance(array, Rows):
        for rows in pixel_row_slices(array):
            yield array[rows].data.cast("B")
        return
    for plane in range(math.prod(array.shape[:-2])):
        own = array.plane(plane) if isinstance(array, Stored) else array
        for rows in row_slices(own):
            read = own[(..., rows, slice(None))].reshape(-1, rows.stop - rows.start, own.shape[-1])
            yield np.ascontiguousarray(read[0 if len(read) == 1 else plane]).data.cast("B")


class Arrays:
    """Where a run has its arrays: in memory, or in files in ``folder``.

    Functions of arrays are applied by ``threads`` threads, each to a slice of rows. Every method
    raises OutputError where a file cannot be made, written or read.
    """

    def __init__(self, folder: Path | None = None, threads: int = 1) -> None:
        self.folder, self._threads = folder, threads
        self._memory = Recycler()

    @property
    def on_disk(self) -> bool:
        """Whether new arrays lie in files."""
        return self.folder is not None

    def zeros(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        """A new array of ``shape``, all zero."""
        if self.folder is None:
            return np.zeros(shape, dtype)
        return Stored(self.folder, shape, dtype)

    def new(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        """A new array of ``shape``, whose values are to be written."""
        return self._memory.empty(shape, dtype) if self.folder is None else self.zeros(shape, dtype)

    def each(self, function: Callable[..., tuple[Block, ...]], *sources: Field) -> list[Any]:
        """New arrays, as large as the first source, of ``function``, a slice of rows at a time.

        It gets the same rows of all sources, and returns those rows of each new array.
        """

        def computed(rows: slice) -> tuple[Block, ...]:
            return function(*(source[(..., rows, slice(None))] for source in sources))

        def write(rows: slice, results: tuple[Block, ...]) -> None:
            for array, result in zip(arrays, results, strict=True):
                array[(..., rows, slice(None))] = result

        first, *others = row_slices(sources[0])
        results = computed(first)
        arrays = [self.new(sources[0].shape, result.dtype) for result in results]
        write(first, results)
        _side_by_side(lambda rows: write(rows, computed(rows)), others, self._threads)
        return arrays

    def gathered(self, source: Field) -> Any:
        """What is computed as parts of it are asked for, ``source``, all at once where it is to be
        in memory.
        """
        return source if self.on_disk else self.each(lambda part: (part,), source)[0]

    def derived(self, function: Callable[..., Block], *sources: Field) -> Any:
        """The array that ``function`` of all sources is, one of the sources' size.

        In memory it is computed at once; where arrays are in files, as it is asked for.
        """
        if self.folder is None:
            return self.each(lambda *parts: (function(*parts),), *sources)[0]
        return Derived(function, *sources)

    def spooled(self, pixels: Any) -> Rows:
        """Pixels [H, W, C], of which rows suffice, copied into a new array [1, C, H, W]."""
        planes = self.zeros((1, pixels.shape[2], *pixels.shape[:2]), pixels.dtype)
        for rows in pixel_row_slices(pixels):
            planes[(..., rows, slice(None))] = pixels[rows].transpose(2, 0, 1)
        return Rows(planes)

    def filled(self, shape: tuple[int, ...], make: Callable[[tuple[int, ...]], Block]) -> Any:
        """A new array [..., H, W] of float32: what ``make`` returns for its parts, in C order.

        ``make`` gets a part's shape: in memory that of all, else of some rows of one plane.
        """
        if self.folder is None:
            return make(shape)
        array = Stored(self.folder, shape)
        for plane in range(math.prod(shape[:-2])):
            own = array.plane(plane)
            for rows in row_slices(own):
                own[(..., rows, slice(None))] = make((rows.stop - rows.start, shape[-1]))
        return array

    def resized(
        self, values: Field, size: tuple[int, int], how: Image.Resampling, wraps: bool = False
    ) -> Any:
        """[1, C, H, W] of floats or bytes -> [1, C, height, width] for ``size`` (width, height).

        With ``wraps``, for arrays in memory, opposite edges meet. First rows, then columns are
        resampled, each by itself: so some can be done at a time, to the bytes of the whole at once.
        Where the size is already right, ``values`` in a file are returned as they are.
        """
        if self.folder is None:
            resize = _resize_wrapped if wraps else _resize
            return resize(cast(Block, values), size, how)
        assert not wraps
        width, height = size
        *lead, high, wide = values.shape
        if wide != width:
            across = Stored(self.folder, (*lead, high, width), values.dtype)
            for rows in row_slices(values):
                part = values[(..., rows, slice(None))]
                across[(..., rows, slice(None))] = _resize(part, (width, part.shape[-2]), how)
            values = across
        if high == height:
            return values
        resized = Stored(self.folder, (*lead, height, width), values.dtype)
        line = math.prod(lead) * max(high, height) * values.dtype.itemsize
        step = max(16, _COLUMNS_BYTES // line)
        for left in range(0, width, step):
            key = (..., slice(None), slice(left, min(width, left + step)))
            part = values[key]
            resized[key] = _resize(part, (part.shape[-1], height), how)
        return resized


def _side_by_side(function: Callable[[slice], None], slices: list[slice], threads: int) -> None:
    """Calls the function for each slice, ``threads`` of them at once, in the caller's context."""
    if threads == 1 or len(slices) <= 1:
        for rows in slices:
            function(rows)
        return
    pool = ThreadPoolExecutor(min(threads, len(slices)))
    try:  # NumPy's error handling is part of the context
        calls = [pool.submit(contextvars.copy_context().run, function, rows) for rows in slices]
        for call in calls:
            call.result()
    finally:
        pool.shutdown(cancel_futures=True)


def resample(image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    """The image at ``size`` (width, height), rows resampled first; ``resize`` takes any order."""
    return image.resize((size[0], image.height), how).resize(size, how)


def _resize(values: Block, size: tuple[int, int], how: Image.Resampling) -> Block:
    """[..., H, W] -> [..., height, width] for ``size`` (width, height), plane by plane."""
    lead = values.shape[:-2]
    planes = values.reshape(-1, *values.shape[-2:])
    resized = [np.asarray(resample(Image.fromarray(plane), size, how)) for plane in planes]
    return np.stack(resized).reshape(*lead, size[1], size[0])


def _resize_wrapped(values: Block, size: tuple[int, int], how: Image.Resampling) -> Block:
    """[1, C, H, W], whose opposite edges meet, -> [1, C, height, width] for (width, height)."""
    height, width = values.shape[2:]
    # A bicubic weight reaches two pixels, of the result where that has fewer.
    margin = 2 * math.ceil(max(1, height / size[1], width / size[0])) + 1
    values = np.pad(values, ((0, 0), (0, 0), (margin, margin), (margin, margin)), "wrap")
    box = (margin, margin, margin + width, margin + height)
    planes = [np.asarray(Image.fromarray(plane).resize(size, how, box)) for plane in values[0]]
    return np.stack(planes)[None]


def _ranges(key: Key, shape: tuple[int, ...]) -> tuple[range, range]:
    """The rows and the columns that ``key`` means in an array of ``shape``.

    Raises TypeError for one of another form, of which the last two would mean other axes.
    """
    if len(key) != 3 or key[0] is not Ellipsis:
        raise TypeError(f"an array in a file is asked for as [..., rows, columns], not {key}")
    _, rows, columns = key
    return range(*rows.indices(shape[-2])), range(*columns.indices(shape[-1]))


class _File:
    """A file without a name, closed when nothing refers to it any more."""

    def __init__(self, folder: Path, size: int) -> None:
        self._stream: Any = tempfile.TemporaryFile(  # noqa: SIM115 - lives with the arrays
            buffering=0, prefix=".ortist-", dir=folder
        )
        self._lock = threading.Lock()
        weakref.finalize(self, self._stream.close)
        self._stream.truncate(size)

    def read(self, place: int, block: memoryview) -> None:
        """Fills ``block`` from byte ``place`` on; raises OSError where the file ends within."""
        while len(block):
            if hasattr(os, "preadv"):
                count = os.preadv(self._stream.fileno(), [block], place)
            else:
                count = self._after_seek(place, self._stream.readinto, block)
            if not count:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            place, block = place + count, block[count:]

    def write(self, place: int, block: memoryview) -> None:
        """Writes ``block`` from byte ``place`` on; raises OSError where there is no room."""
        while len(block):
            if hasattr(os, "pwrite"):
                count = os.pwrite(self._stream.fileno(), block, place)
            else:
                count = self._after_seek(place, self._stream.write, block)
            place, block = place + count, block[count:]

    def _after_seek(self, place: int, call: Callable[[memoryview], int], block: memoryview) -> int:
        with self._lock:
            self._stream.seek(place)
            return call(block)


def _full(folder: Path, error: OSError) -> OutputError:
    """The error that says why ``folder`` takes no more, and what can be done."""
    return OutputError(
        f"cannot keep the run's state in {str(folder)!r} ({error.strerror or error}); make room "
        "there, or name a folder with more by --scratch."
    )
