"""Whoever works on pieces: one model's program, its threads, and the arrays of the last shapes."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ortist_models.program import Part

from ..arrays import Array
from ..errors import ModelError, OrtistError, ResourceError, reason_of
from ..network.bundle import Model
from ..network.machine import give_back_memory
from ..network.sessions import beyond_pool, count_threads, refuses_to_run, wants_memory
from ..options.fields import Provider
from .bands import BAND_PIXELS, Buffers, Features
from .inputs import Shape
from .pieces import Piece, Pull, Sums, Terms
from .proving import open_proved
from .sweep import Decide, Sweep

__all__ = ["Setup", "Sweeper"]

Setup = tuple[Model, Provider, int | None]
"""What a sweeper is made of, here or elsewhere: model, provider and threads."""

_OF_CONTENT = ("with_error", "with_content")
"""Switches of what needs the content's features."""
_BACK = ("with_style", "with_content")
"""Switches of the way back."""
_SHAPES = 64
"""Shapes of pieces whose layouts are kept, some 30 KiB each."""
_LITTLE = 32 * 2**20
"""Bytes that are worth less than the time of getting them again."""


class Sweeper:
    """One model on one provider, with so many CPU ``threads`` (None: all that there are).

    May be used by several threads: their calls wait for each other. ``profile`` is where ONNX
    Runtime shall record what it does. Calls raise ResourceError when memory runs out, and
    ModelError where ONNX Runtime cannot run the model; more threads than CPUs are an OptionError.
    """

    def __init__(
        self,
        model: Model,
        provider: Provider = "auto",
        threads: int | None = None,
        profile: str | None = None,
    ) -> None:
        self.model = model
        self.setup: Setup = model, provider, threads
        self.band_pixels = BAND_PIXELS
        """About how many pixels a band has; features that were kept before a change fit no more."""
        self.program = open_proved(model, provider, count_threads(threads), profile)
        self.provider = self.program.provider
        self._buffers = Buffers()
        self._layouts: OrderedDict[Shape, dict[Any, Any]] = OrderedDict()
        self._sweeps: OrderedDict[Shape, Sweep] = OrderedDict()
        self._any_on: frozenset[str] = frozenset()
        """Switches of sessions that are open, for whoever wants features alone."""
        self.cancelled: Callable[[], bool] = bool
        """Asked between segments: where it says True, calls raise CancelledError. By default no."""
        self._lock = threading.RLock()

    def step(
        self, piece: Piece, terms: Terms, decide: Decide, tv_weight: float, gradient: Any
    ) -> Sums:
        """One step over a piece that is the whole picture; returns its sums.

        ``decide`` makes a pull of each tap's sums, and the gradient of the pixels that comes of it
        is written to ``gradient``, [1, 3, h, w].
        """
        taps = sorted(terms.moments | terms.errors)
        piece = self._with_features(piece, terms.errors)
        own = {"moments": terms.moments, "style": terms.moments}
        on = _switches(piece, terms.shifts, **own, error=terms.errors, content=terms.errors)
        with self._swept(piece, on, tv_weight) as sweep:
            return sweep.run(piece.pixels, gradient, taps, decide)

    def observe(self, piece: Piece, terms: Terms) -> Sums:
        """The sums of a piece, without total variation."""
        piece = self._with_features(piece, terms.errors)
        on = _switches(piece, terms.shifts, moments=terms.moments, error=terms.errors)
        with self._swept(piece, on, or_more=True) as sweep:
            taps, forward = sorted(terms.moments | terms.errors), self.program.wiring.forward
            return sweep.run(piece.pixels, None, taps, segments=forward)

    def pull(self, piece: Piece, pulls: Mapping[int, Pull], tv_weight: float) -> tuple[Array, Sums]:
        """The gradient [1, 3, h, w] of the piece's own pixels, for what was decided for each tap.

        And the content's errors and the total variation of what counts of the piece.
        """
        style = [tap for tap, pull in pulls.items() if pull.mixing is not None]
        content = sorted(tap for tap, pull in pulls.items() if pull.content_weight is not None)
        shifts = any(pull.shift is not None for pull in pulls.values())
        piece = self._with_features(piece, content)
        on = _switches(piece, shifts, style=style, error=content, content=content)
        gradient = np.empty(piece.pixels.shape, np.float32)
        with self._swept(piece, on, tv_weight) as sweep:
            for tap, pull in pulls.items():
                sweep.inputs.set_pull(tap, pull)
            sums = sweep.run(piece.pixels, gradient, content)
        if piece.own is not None:
            gradient = gradient[(..., *piece.own[0])]
        return gradient, sums

    def features(self, pixels: Array, taps: Sequence[int]) -> Features:
        """The features over ``pixels`` [1, 3, h, w] of these taps, by band and part."""
        with self._swept(Piece(pixels), None) as sweep:
            made, places = self.program.wiring.made, self.model.program.taps
            count = 1 + max((made[part.value] for tap in taps for part in places[tap]), default=-1)
            if count:
                sweep.run(pixels, None, (), segments=count, skip_idle=False)
            return sweep.features(taps)

    def maps(self, pixels: Array, taps: Sequence[int]) -> dict[int, Array]:
        """The feature maps [1, C, h, w] of these taps."""
        parts = self.model.program.taps
        return {t: _joined(f, parts[t]) for t, f in self.features(pixels, taps).items()}

    def energies(self, piece: Piece, taps: Collection[int]) -> dict[int, float]:
        """||P||^2 of the content's features P over the piece's own positions, by tap."""
        features: Any = self._with_features(piece, taps).content
        total = {}
        for tap in taps:
            whole = _joined(features[tap], self.model.program.taps[tap])
            if piece.own is not None:
                whole = whole[(..., *piece.own[tap])]
            total[tap] = sum(float(np.square(c, dtype=np.float64).sum()) for c in whole[0])
        return total

    def release(self) -> None:
        """Gives back what memory the calls before have left, unless it is little.

        For calls with other sizes, which would not find it of use.
        """
        with self._lock:
            if self._buffers.nbytes + self._nbytes > _LITTLE:
                self._drop(0)
                self._buffers = Buffers()
                give_back_memory()

    def _with_features(self, piece: Piece, taps: Collection[int]) -> Piece:
        """The piece with the content's features at ``taps``, where it has only its pixels."""
        if not isinstance(piece.content, np.ndarray):
            return piece
        features = self.features(piece.content, sorted(taps))
        return dataclasses.replace(piece, content=features)

    @contextlib.contextmanager
    def _swept(
        self,
        piece: Piece,
        on: frozenset[str] | None,
        tv_weight: float = 0.0,
        or_more: bool = False,
    ) -> Iterator[Sweep]:
        """The sweep for such a piece, set to it; no other is made meanwhile.

        Without ``on`` any that is there for this size will do, since features are all that is
        wanted of it. With ``or_more`` so will one that goes the way back as well.
        """
        height, width = piece.pixels.shape[2:]
        with self._lock:
            try:
                switches = self._any_on if on is None else on
                shape = Shape(height, width, piece.wraps, self.band_pixels, switches)
                if on is None:
                    for there, sweep in self._sweeps.items():
                        if dataclasses.replace(shape, on=there.on) == there:
                            with self._heard(sweep):
                                yield sweep
                            return
                if or_more:
                    shape = next((s for s in self._sweeps if _does_as_well(s, shape)), shape)
                if not shape.on & {"with_guides", "with_inside"}:
                    self._any_on = frozenset(n for n in shape.on if not n.startswith(_OF_CONTENT))
                if shape not in self._sweeps:
                    self._make_room(shape)
                    layouts = self._layouts_of(shape)
                    self._sweeps[shape] = Sweep(self.program, shape, self._buffers, layouts)
                self._sweeps.move_to_end(shape)
                self._sweeps[shape].set_piece(piece, tv_weight)
                with self._heard(self._sweeps[shape]):
                    yield self._sweeps[shape]
            except BaseException as error:  # Ctrl-C too, perhaps between a value and its binding
                self._sweeps.clear()
                _explain(error, height, width, self.program.in_bands)
                raise

    @contextlib.contextmanager
    def _heard(self, sweep: Sweep) -> Iterator[None]:
        """Meanwhile the sweep can be cancelled.

        No longer: whoever cancels refers to all that a run has, which would go in a circle, and its
        sessions' memory would wait for the garbage collector.
        """
        sweep.cancelled = self.cancelled
        try:
            yield
        finally:
            sweep.cancelled = bool

    def _layouts_of(self, shape: Shape) -> dict[Any, Any]:
        """What sweeps of that shape have found; of the last shapes only, as pictures have many."""
        layouts = self._layouts.setdefault(shape, {})
        self._layouts.move_to_end(shape)
        if len(self._layouts) > _SHAPES:
            self._layouts.popitem(last=False)
        return layouts

    @property
    def _nbytes(self) -> int:
        return sum(sweep.nbytes for sweep in self._sweeps.values())

    def _make_room(self, shape: Shape) -> None:
        """Ends sweeps before one of that shape is made; small ones stay.

        Of tiles so does the last one, where that shape has been here before: they are observed and
        pulled at by turns in every step, and each time sessions would be bound to other arrays.
        """
        last = next(reversed(self._sweeps), None)
        kept = None
        if last is not None and shape in self._layouts and "with_inside" in last.on & shape.on:
            kept = self._sweeps.pop(last)
        self._drop(_LITTLE)
        if last is not None and kept is not None:
            self._sweeps[last] = kept

    def _drop(self, most: int) -> None:
        """Ends sweeps, the one that was longest not used first, until they have so many bytes."""
        while self._sweeps and self._nbytes > most:
            self._sweeps.popitem(last=False)[1].close()


def _switches(piece: Piece, shifts: bool, **terms: Collection[int]) -> frozenset[str]:
    """What is on for ``terms``, each with its taps, and for what there is of the piece."""
    on = {f"with_{term}_{tap}" for term, taps in terms.items() for tap in taps}
    places = {
        "with_shifts": shifts,
        "with_guides": piece.guides is not None,
        "with_inside": piece.own is not None,
    }
    return frozenset(on | {name for name, wanted in places.items() if wanted})


def _does_as_well(there: Shape, wanted: Shape) -> bool:
    """Whether a sweep's way there is the one that is wanted, whatever its way back is."""
    more = there.on - wanted.on
    alike = dataclasses.replace(wanted, on=there.on) == there and wanted.on <= there.on
    return alike and all(name.startswith(_BACK) for name in more)


def _joined(bands: Sequence[Sequence[Array]], places: Sequence[Part]) -> Array:
    """The map of which every band has all rows and columns, or in four parts every second."""
    whole = []
    for parts in bands:
        height, width = parts[0].shape[2:]
        if len(parts) > 1:
            height, width = height + parts[-1].shape[2], width + parts[-1].shape[3]
        joined = np.empty((1, parts[0].shape[1], height, width), np.float32)
        for part, place in zip(parts, places, strict=True):
            (down, right), step = place.phase, place.step
            joined[..., down::step, right::step] = part
        whole.append(joined)
    return np.concatenate(whole, axis=2)


def _explain(error: BaseException, height: int, width: int, in_bands: bool) -> None:
    """Raises ResourceError for want of memory, and ModelError for a graph that does not fit.

    Errors of our own say what they are.
    """
    if isinstance(error, OrtistError):
        return
    if in_bands and beyond_pool(error):
        raise ModelError(
            "the model takes more memory for a band than its manifest says; export it again, or "
            "use another."
        ) from error
    if wants_memory(error):
        raise ResourceError(
            f"there is not enough memory for a picture of {width} x {height}; "
            "give a smaller --size."
        ) from error
    if refuses_to_run(error):
        raise ModelError(f"ONNX Runtime cannot run the model: {reason_of(error)}") from error
