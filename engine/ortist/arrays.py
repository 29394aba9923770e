"""Arrays that need not be in memory: the loop works on them without knowing where they are.

All are [..., H, W] and answer ``array[..., rows, columns]`` with a NumPy array: a NumPy array
itself; a ``Stored`` one, in a file; a ``Derived`` one, computed from others as it is asked for.
``Arrays`` makes new ones, in memory or in a folder, and applies functions to them band by band.

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

__all__ = [
    "Array",
    "Arrays",
    "Derived",
    "Field",
    "Rows",
    "Stored",
    "bands",
    "chunks",
    "crop",
    "resample",
    "row_bands",
]

_BAND_BYTES = 2**20
"""Of one array in one band: a step's bands stay in the processor's cache."""
_STRIP_BYTES = 2**25
"""Of the strips that are resized at once."""

Array = NDArray[np.float32]
Block = NDArray[Any]
Key = Any  # (..., slice, slice): NumPy's own indices cannot be written as a type


class Stored:
    """An array [..., H, W] in a file, all zero at first. Raises OutputError where it is not."""

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: Any = np.float32) -> None:
        self.shape, self.dtype = tuple(shape), np.dtype(dtype)
        self._folder = folder
        self._whole = self.shape[-2:]
        self._at = (0, 0, 0)  # plane, row and column of the file where this array begins
        try:
            self._file = _File(folder, self.nbytes)
        except OSError as error:
            raise _full(folder, error) from error

    @property
    def nbytes(self) -> int:
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def __getitem__(self, key: Key) -> Block:
        rows, columns = _ranges(key, self.shape)
        found = np.empty((self._planes, len(rows), len(columns)), self.dtype)
        try:
            for plane, row, lines in self._runs(found, rows):
                self._file.read(self._offset(plane, row, columns.start), lines.data.cast("B"))
        except OSError as error:
            raise OutputError(
                f"cannot read the run's state in {str(self._folder)!r} ({error.strerror})."
            ) from error
        return found.reshape(*self.shape[:-2], len(rows), len(columns))

    def __setitem__(self, key: Key, values: Any) -> None:
        rows, columns = _ranges(key, self.shape)
        shape = (*self.shape[:-2], len(rows), len(columns))
        block = np.ascontiguousarray(np.broadcast_to(values, shape), self.dtype)
        block = block.reshape(self._planes, len(rows), len(columns))
        try:
            for plane, row, lines in self._runs(block, rows):
                self._file.write(self._offset(plane, row, columns.start), lines.data.cast("B"))
        except OSError as error:
            raise _full(self._folder, error) from error

    def crop(self, rows: slice, columns: slice) -> Stored:
        """A part of this array, in the same file."""
        down, across = _ranges((..., rows, columns), self.shape)
        at = self._at[0], self._at[1] + down.start, self._at[2] + across.start
        return self._part((*self.shape[:-2], len(down), len(across)), at)

    def plane(self, index: int) -> Stored:
        """One of its planes, [H, W], in the same file."""
        return self._part(self.shape[-2:], (self._at[0] + index, *self._at[1:]))

    def _part(self, shape: tuple[int, ...], at: tuple[int, int, int]) -> Stored:
        part = object.__new__(Stored)
        part.__dict__.update(self.__dict__, shape=shape, _at=at)
        return part

    @property
    def _planes(self) -> int:
        return math.prod(self.shape[:-2])

    def _runs(self, block: Block, rows: range) -> Iterator[tuple[int, int, Block]]:
        """The parts of ``block`` that lie in one piece in the file: plane, row, values."""
        whole = block.shape[2] == self._whole[1]
        for plane in range(len(block)):
            if whole:
                yield plane, rows.start, block[plane]
                continue
            for index, row in enumerate(rows):
                yield plane, row, block[plane, index]

    def _offset(self, plane: int, row: int, column: int) -> int:
        height, width = self._whole
        first, top, left = self._at
        place = ((first + plane) * height + top + row) * width + left + column
        return int(place * self.dtype.itemsize)


class Derived:
    """A function of arrays of one size, value by value along rows and columns, as it is asked for.

    ``function`` gets the same part of each and returns that part of this one, of type ``dtype``.
    """

    def __init__(
        self, function: Callable[..., Block], *sources: Field, dtype: Any = np.float32
    ) -> None:
        self._function, self._sources = function, sources
        self.dtype = np.dtype(dtype)
        self.shape: tuple[int, ...] = tuple(sources[0].shape)

    @property
    def nbytes(self) -> int:
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def __getitem__(self, key: Key) -> Block:
        return self._function(*(source[key] for source in self._sources))

    def crop(self, rows: slice, columns: slice) -> Derived:
        parts = (crop(source, rows, columns) for source in self._sources)
        return Derived(self._function, *parts, dtype=self.dtype)


Field = NDArray[Any] | Stored | Derived


class Rows:
    """An array [1, C, H, W] seen as pixels, [H, W, C]; ``rows[top:bottom]`` is a NumPy array."""

    def __init__(self, planes: Field) -> None:
        self.planes = planes
        self.dtype, self.nbytes = planes.dtype, planes.nbytes
        self.shape = (planes.shape[-2], planes.shape[-1], planes.shape[-3])

    def __getitem__(self, rows: slice) -> Block:
        found = self.planes[(..., rows, slice(None))]
        return np.ascontiguousarray(found.reshape(found.shape[-3:]).transpose(1, 2, 0))


def crop(array: Field, rows: slice, columns: slice) -> Any:
    """That part of it, without a copy."""
    if isinstance(array, np.ndarray):
        return array[..., rows, columns]
    return array.crop(rows, columns)


def bands(array: Field) -> Iterator[slice]:
    """Rows of [..., H, W] that are looked at together."""
    return _bands(array.shape[-2], array.nbytes)


def row_bands(pixels: Any) -> Iterator[slice]:
    """The same of pixels [H, W, C], a NumPy array or ``Rows``."""
    return _bands(pixels.shape[0], pixels.nbytes)


def _bands(height: int, nbytes: int) -> Iterator[slice]:
    step = max(1, _BAND_BYTES * height // max(1, nbytes))
    for top in range(0, height, step):
        yield slice(top, min(height, top + step))


def chunks(array: Any) -> Iterator[memoryview]:
    """Its bytes in C order, little by little where it is not in memory."""
    if isinstance(array, np.ndarray):
        yield np.ascontiguousarray(array).data.cast("B")
        return
    if isinstance(array, Rows):
        for rows in row_bands(array):
            yield array[rows].data.cast("B")
        return
    planes = math.prod(array.shape[:-2])
    for plane in range(planes):
        own = array.plane(plane) if isinstance(array, Stored) else array
        for rows in bands(own):
            found = own[(..., rows, slice(None))].reshape(-1, rows.stop - rows.start, own.shape[-1])
            yield np.ascontiguousarray(found[0 if len(found) == 1 else plane]).data.cast("B")


class Arrays:
    """Where a run has its arrays: in memory, or in files in ``folder``.

    Functions of arrays in files are applied by ``threads`` at once, each to a band.
    """

    def __init__(self, folder: Path | None = None, threads: int = 1) -> None:
        self.folder, self._threads = folder, threads

    @property
    def on_disk(self) -> bool:
        return self.folder is not None

    def zeros(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        """A new array, all zero."""
        if self.folder is None:
            return np.zeros(shape, dtype)
        return Stored(self.folder, shape, dtype)

    def each(self, function: Callable[..., tuple[Block, ...]], *sources: Field) -> list[Any]:
        """New arrays: what ``function`` of the same rows of all sources returns, band by band."""

        def computed(rows: slice) -> tuple[Block, ...]:
            return function(*(source[(..., rows, slice(None))] for source in sources))

        def written(rows: slice) -> None:
            for array, result in zip(found, computed(rows), strict=True):
                array[(..., rows, slice(None))] = result

        first, *others = bands(sources[0])
        results = computed(first)
        found = [self._empty(sources[0].shape, result.dtype) for result in results]
        for array, result in zip(found, results, strict=True):
            array[(..., first, slice(None))] = result
        if self.folder is None:
            for rows in others:
                written(rows)
        else:
            _side_by_side(written, others, self._threads)
        return found

    def derived(self, function: Callable[..., Block], *sources: Field) -> Any:
        """The same for one result, computed as it is asked for where arrays are in files."""
        if self.folder is None:
            return self.each(lambda *parts: (function(*parts),), *sources)[0]
        return Derived(function, *sources)

    def spooled(self, pixels: Any) -> Rows:
        """Pixels [H, W, C] copied into an array of their own."""
        planes = self.zeros((1, pixels.shape[2], *pixels.shape[:2]), pixels.dtype)
        for rows in row_bands(pixels):
            planes[(..., rows, slice(None))] = pixels[rows].transpose(2, 0, 1)
        return Rows(planes)

    def filled(self, shape: tuple[int, ...], make: Callable[[tuple[int, ...]], Block]) -> Any:
        """A new array of what ``make`` gives for one shape after the other, in C order."""
        if self.folder is None:
            return make(shape)
        found = Stored(self.folder, shape)
        for plane in range(math.prod(shape[:-2])):
            own = found.plane(plane)
            for rows in bands(own):
                own[(..., rows, slice(None))] = make((rows.stop - rows.start, shape[-1]))
        return found

    def resized(
        self, values: Field, size: tuple[int, int], how: Image.Resampling, wraps: bool = False
    ) -> Any:
        """[1, C, H, W] of floats or bytes -> [1, C, height, width] for ``size`` (width, height).

        With ``wraps``, which is for arrays in memory, what lies beyond an edge is taken from the
        opposite one.

        Every row, and then every column, is resampled by itself: so the rows can be done in bands
        and the columns in strips, to the same bytes as the whole at once.
        """
        if self.folder is None:
            resize = _resize_wrapped if wraps else _resize
            return resize(cast(Block, values), size, how)
        assert not wraps
        width, height = size
        *lead, high, wide = values.shape
        if wide != width:
            across = Stored(self.folder, (*lead, high, width), values.dtype)
            for rows in bands(values):
                part = values[(..., rows, slice(None))]
                across[(..., rows, slice(None))] = _resize(part, (width, part.shape[-2]), how)
            values = across
        if high == height:
            return values
        found = Stored(self.folder, (*lead, height, width), values.dtype)
        line = math.prod(lead) * max(high, height) * values.dtype.itemsize
        step = max(16, _STRIP_BYTES // line)
        for left in range(0, width, step):
            key = (..., slice(None), slice(left, min(width, left + step)))
            part = values[key]
            found[key] = _resize(part, (part.shape[-1], height), how)
        return found

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype) if self.folder is None else self.zeros(shape, dtype)


def _side_by_side(function: Callable[[slice], None], bands: list[slice], threads: int) -> None:
    """Calls the function for each band, so many at once, in the caller's context."""
    pool = ThreadPoolExecutor(threads)
    try:  # NumPy's error handling is part of the context
        calls = [pool.submit(contextvars.copy_context().run, function, rows) for rows in bands]
        for call in calls:
            call.result()
    finally:
        pool.shutdown(cancel_futures=True)


def resample(image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    """``image.resize``, rows first and columns after, which Pillow does in either order."""
    return image.resize((size[0], image.height), how).resize(size, how)


def _resize(values: Block, size: tuple[int, int], how: Image.Resampling) -> Block:
    lead = values.shape[:-2]
    planes = values.reshape(-1, *values.shape[-2:])
    found = [np.asarray(resample(Image.fromarray(plane), size, how)) for plane in planes]
    return np.stack(found).reshape(*lead, size[1], size[0])


def _resize_wrapped(values: Block, size: tuple[int, int], how: Image.Resampling) -> Block:
    """The same of [1, C, H, W] whose opposite edges meet."""
    height, width = values.shape[2:]
    # A bicubic weight reaches two pixels, of the result where that has fewer.
    margin = 2 * math.ceil(max(1, height / size[1], width / size[0])) + 1
    values = np.pad(values, ((0, 0), (0, 0), (margin, margin), (margin, margin)), "wrap")
    box = (margin, margin, margin + width, margin + height)
    planes = [np.asarray(Image.fromarray(plane).resize(size, how, box)) for plane in values[0]]
    return np.stack(planes)[None]


def _ranges(key: Key, shape: tuple[int, ...]) -> tuple[range, range]:
    rows, columns = key[-2:]
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
        while len(block):
            count = self._read(place, block)
            if not count:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            place, block = place + count, block[count:]

    def write(self, place: int, block: memoryview) -> None:
        while len(block):
            count = self._write(place, block)
            place, block = place + count, block[count:]

    def _read(self, place: int, block: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._stream.fileno(), [block], place)
        with self._lock:
            self._stream.seek(place)
            return int(self._stream.readinto(block))

    def _write(self, place: int, block: memoryview) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._stream.fileno(), block, place)
        with self._lock:
            self._stream.seek(place)
            return int(self._stream.write(block))


def _full(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot keep the run's state in {str(folder)!r} ({error.strerror or error}); make room "
        "there, or name a folder with more by --scratch."
    )
