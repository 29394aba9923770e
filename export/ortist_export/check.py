"""Is a bundle right? Its files against torch autograd and against a float64 reference.

The same losses are written once more here, in torch, straight from the formulas, and differentiated
by autograd in float32 and in float64; the ONNX files are run by ONNX Runtime. Nothing of the
graph-building code is shared with the reference. The pullback is compared on a function of the
moments that exercises all of its inputs: 1/2 <M, S> + <v, m> with fixed M and v.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from ortist_models import MANIFEST
from ortist_models.program import Part
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .backbones import BACKBONES, Pooling, Taps
from .bundle import NORMALIZATION, read_program
from .errors import ExportError
from .one_piece import all_switches, run_one_piece
from .phases import PHASES
from .program import Program
from .weights import Weights, load_weights

__all__ = [
    "TOLERANCE",
    "Deviation",
    "bundled_module",
    "check_bundle",
    "check_images",
    "read_picture",
]

TOLERANCE = 1e-5
"""The largest error, as a share of the largest component (features, gradient) or of the sum."""

Array = NDArray[np.float32]
_PLACES = ("with_shifts", "with_guides", "with_inside")


@dataclass(frozen=True)
class Deviation:
    """Worst relative errors of one image.

    ``features`` and ``sums`` (moments, errors, total variation) are against float64. So are
    ``gradient``, of a program with plain style and content terms, and ``guided``, of one that has
    regions, shifts and positions that do not count besides; of autograd that is given the decisions
    of the graph itself: which ReLUs are active, and which value of a window is the maximum, are
    read off the activations that the graph computed (``_Decided``), since rounding may decide
    between two all but equal values, and then correct programs differ. For the record: ``float32``
    and ``float64`` are the largest errors of the plain gradient against autograd with decisions of
    its own, ``autograd`` that of autograd's float32, and ``undecided`` counts the components where
    its float32 and float64 differ by more than the tolerance.
    """

    image: str
    size: tuple[int, int]
    features: float
    sums: float
    gradient: float
    guided: float
    undecided: int
    float32: float
    float64: float
    autograd: float

    @property
    def worst(self) -> float:
        """The largest of the errors that are held against the tolerance; NaN where one is."""
        return float(np.max([self.features, self.sums, self.gradient, self.guided]))

    @property
    def passed(self) -> bool:
        """Whether all of those are within it; NaN is not."""
        return self.worst <= TOLERANCE


def check_images(extra: Mapping[str, Array], smallest_side: int = 1) -> Iterator[tuple[str, Array]]:
    """Names and normalised images [1, 3, H, W]; ``extra`` ones come first.

    ``real`` is a sample picture of the project's own; ``natural`` ones are noise. ``tiny`` is
    17 x 23 pixels, or larger where the taps need it.
    """
    yield from extra.items()
    yield "real", read_picture(Path(__file__).with_name("real.jpg"))
    yield "natural", _natural(150, 200)
    color = np.array([0.4, -0.3, 0.7], np.float32).reshape(1, 3, 1, 1)
    yield "flat", np.tile(color, (1, 1, 96, 128))
    yield "white", np.full((1, 3, 77, 90), 2.2, np.float32)
    yield "drawing", _drawing(113, 160)
    yield "tiny", _natural(max(17, smallest_side), max(23, smallest_side))
    yield "odd", _natural(101, 67)
    yield "wide", _natural(40, 331)


def read_picture(path: Path) -> Array:
    """A picture as [1, 3, H, W], normalised, reduced to 340 x 256 at most; raises ExportError."""
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP")) as opened:
            opened.thumbnail((340, 256))
            pixels = np.asarray(opened.convert("RGB"), np.float32) / 255
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ExportError(f"{str(path)!r} cannot be read as a picture ({error}).") from error
    mean, std = (np.array(NORMALIZATION[key], np.float32) for key in ("mean", "std"))
    values: Array = ((pixels - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    return values


def _natural(height: int, width: int, seed: int = 0) -> Array:
    """Noise with the 1/f amplitude spectrum of photographs (Field 1987)."""
    rng = np.random.default_rng([height, width, seed])
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(rng.standard_normal((3, height, width)))
    planes = np.fft.irfft2(white / frequency, (height, width))
    scaled: Array = (planes / planes.std() * 0.9)[None].astype(np.float32)
    return scaled


def _drawing(height: int, width: int) -> Array:
    """Black lines and grey boxes on white: large areas of ties beside hard edges."""
    image = np.full((1, 3, height, width), 2.2, np.float32)
    image[..., height // 5, 9:-9] = -2.0
    image[..., 9:-9, width // 3 : width // 3 + 2] = -2.0
    image[..., height // 2 :, width // 2 :] = 0.1
    image[:, 0, height // 2 : -20, width // 2 : -30] = 1.5
    return image


def check_bundle(
    folder: Path, weights: Path | None, extra: Mapping[str, Array]
) -> Iterator[Deviation]:
    """Compares the bundle in ``folder`` with torch on every image, worst errors image by image.

    ``weights`` is the file that the bundle was exported from; its hash must be the manifest's.
    Without it, the weights are read back from the bundle's own graph, which then checks the graph
    and not the weights. Raises ExportError for a bundle that cannot be read.
    """
    manifest, program = _read(folder)
    features = _build(manifest)
    if weights is not None:
        given = Weights(weights, "", "")
        load_weights(features, given)
        if given.sha256 != manifest["weights"]["sha256"]:
            raise ExportError(f"{str(weights)!r} is not the file that {folder.name} came from.")
    else:
        _weights_from_program(features, program)
    module = Taps(features, tuple(program.taps)).eval()
    for name, image in check_images(extra, manifest["smallest_side"]):
        yield _compare(name, image, module, program)


def bundled_module(folder: Path, taps: tuple[int, ...]) -> Taps:
    """The backbone of the bundle in ``folder`` as a torch module, weights read from its graph."""
    manifest, program = _read(folder)
    features = _build(manifest)
    _weights_from_program(features, program)
    return Taps(features, taps).eval()


def _read(folder: Path) -> tuple[dict[str, Any], Program]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for segment in manifest["program"]["segments"]:
            data = (folder / segment["file"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != manifest["files"][segment["file"]]["sha256"]:
                raise ExportError(
                    f"{folder / segment['file']} is damaged: its sha256 is not the manifest's."
                )
        program = read_program(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{str(folder)!r} holds no readable model ({error}).") from error
    if manifest.get("backbone") not in BACKBONES:
        raise ExportError(f"{folder.name} is of no backbone that can be checked here.")
    return manifest, program


def _build(manifest: Mapping[str, Any]) -> torch.nn.Sequential:
    pooling = manifest.get("pooling", "max")  # which all bundles had before there was a choice
    if pooling not in get_args(Pooling):
        raise ExportError(f"{manifest['name']} has a pooling {pooling!r} that is unknown here.")
    return BACKBONES[manifest["backbone"]].build(pooling)


def _weights_from_program(features: torch.nn.Sequential, program: Program) -> None:
    stored = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for segment in program.segments
        for tensor in segment.graph.initializer
        if tensor.name.startswith("features.")
    }
    state = {
        key: torch.from_numpy(stored[f"features.{key}"].copy())
        for key in features.state_dict()
        if f"features.{key}" in stored
    }
    features.load_state_dict(state, strict=False)


def _compare(name: str, image: Array, module: Taps, program: Program) -> Deviation:
    with torch.no_grad():
        maps = module(torch.from_numpy(image))
        contents = module(torch.from_numpy(_natural(image.shape[2], image.shape[3], seed=1)))
    plain = _Given.plain(maps, contents, module.taps)
    guided = _Given.guided(maps, contents, module.taps, image.shape)
    both = [_both(module, program, given, image) for given in (plain, guided)]
    computed, expected = [own for own, _ in both], [other for _, other in both]
    single = _reference(module, image, plain, torch.float32)
    double = _reference(module, image, plain, torch.float64)
    features = _worst(computed[0].features, double.features)
    autograd = np.abs(single.gradient - double.gradient) / np.abs(double.gradient).max()
    return Deviation(
        image=name,
        size=(image.shape[2], image.shape[3]),
        features=features,
        sums=max(_worst(f.sums, e.sums) for f, e in zip(computed, expected, strict=True)),
        gradient=_error(computed[0].gradient, expected[0].gradient),
        guided=_error(computed[1].gradient, expected[1].gradient),
        undecided=int((autograd > TOLERANCE).sum()),
        float32=_error(computed[0].gradient, single.gradient),
        float64=_error(computed[0].gradient, double.gradient),
        autograd=float(autograd.max()),
    )


@dataclass(frozen=True)
class _TapGiven:
    """One tap's M [R, C, C], v [R, C] or None, guides [R, h, w] or None, P [1, C, h, w] and w.

    ``own`` are the rows and columns that count.
    """

    mixing: Array
    shift: Array | None
    guides: Array | None
    content: Array
    weight: float
    own: tuple[slice, slice] = (slice(None), slice(None))


@dataclass(frozen=True)
class _Given:
    """What a program is asked for: by tap, and of the pixels."""

    taps: Mapping[int, _TapGiven]
    tv_weight: float
    own: tuple[slice, slice] = (slice(None), slice(None))

    @staticmethod
    def plain(maps: Sequence[Tensor], contents: Sequence[Tensor], taps: Sequence[int]) -> _Given:
        """One region everywhere, no shifts."""
        rng = np.random.default_rng(0)
        given = {t: _tap(rng, m, c, 1) for t, m, c in zip(taps, maps, contents, strict=True)}
        return _Given(given, 0.02 / maps[0][0, 0].numel())

    @staticmethod
    def guided(
        maps: Sequence[Tensor],
        contents: Sequence[Tensor],
        taps: Sequence[int],
        shape: Sequence[int],
    ) -> _Given:
        """In turn one, two and three regions with guides; the inner positions count."""
        rng = np.random.default_rng(1)
        given = {}
        for index, (tap, features, content) in enumerate(zip(taps, maps, contents, strict=True)):
            plain = _tap(rng, features, content, 1 + index % 3)
            channels, *space = features.shape[1:]
            scale = np.sqrt(channels) * float(features.square().mean().sqrt()) or 1.0
            regions = len(plain.mixing)
            shift = rng.standard_normal((regions, channels)) / scale / np.prod(space)
            own = tuple(_inner(length) for length in space)
            given[tap] = replace(
                plain,
                shift=shift.astype(np.float32),
                guides=rng.random((regions, *space), np.float32),
                own=(own[0], own[1]),
            )
        return _Given(given, 0.02 / np.prod(shape[2:]), (_inner(shape[2]), _inner(shape[3])))


def _inner(length: int) -> slice:
    return slice(length // 4, length - length // 5)


def _tap(rng: np.random.Generator, features: Tensor, content: Tensor, regions: int) -> _TapGiven:
    """M and w for which every tap has about one say in the gradient."""
    _, channels, *space = features.shape
    energy = float(features.square().mean()) or 1.0
    per_position = 1 / np.prod(space)
    mixing = rng.standard_normal((regions, channels, channels)) / channels / energy
    mixing = (mixing + mixing.transpose(0, 2, 1)) * per_position
    weight = float(0.1 * per_position / channels / energy)
    return _TapGiven(mixing.astype(np.float32), None, None, content.numpy(), weight)


@dataclass(frozen=True)
class _Computed:
    """What a program or autograd gives: gradient, sums and features, all in one order."""

    gradient: NDArray[Any]
    sums: list[Any]
    features: list[NDArray[Any]]


def _both(
    module: Taps, program: Program, given: _Given, image: Array
) -> tuple[_Computed, _Computed]:
    """What the program finds, and autograd in float64 with the program's own decisions."""
    nodes = [node for segment in program.segments for node in segment.graph.node]
    relus = [node.output[0] for node in nodes if node.op_type == "Relu"]
    values = run_one_piece(program, *_fed(program, given, image), observed=relus)
    sums: list[Any] = [values["variation"]]
    features = []
    for tap, own in given.taps.items():
        sums += [values[f"moments_{tap}"], values[f"content_error_{tap}"]]
        sums += [] if own.shift is None else [values[f"sums_{tap}"]]
        features.append(_whole(program, tap, values))
    computed = _Computed(values["gradient"], sums, features)
    with _Decided(_activations({name: values[name] for name in relus if name in values})):
        return computed, _reference(module, image, given, torch.float64)


def _fed(program: Program, given: _Given, image: Array) -> tuple[dict[str, Any], set[str]]:
    """The program's inputs, and the switches that are on."""
    feed: dict[str, Any] = {"image": image, "tv_weight": np.array(given.tv_weight, np.float32)}
    on = {name for name in all_switches(program) if not name.endswith(_PLACES)}
    height, width = image.shape[2:]
    _bound(feed, "pixels", given.own, (height, width), Part(""))
    for tap, own in given.taps.items():
        channels = own.mixing.shape[1]
        feed[f"mixing_{tap}"] = np.ascontiguousarray(
            own.mixing.transpose(1, 0, 2).reshape(channels, -1)
        )
        feed[f"content_weight_{tap}"] = np.array(own.weight, np.float32)
        if own.shift is not None and own.guides is not None:
            on |= {*_PLACES}
            feed[f"shift_{tap}"] = np.ascontiguousarray(own.shift.T)
        for index, part in enumerate(program.taps[tap]):
            (down, right), step = part.phase, part.step
            name = f"{tap}_{index}"
            feed[f"content_{name}"] = np.ascontiguousarray(
                own.content[..., down::step, right::step]
            )
            if own.guides is not None:
                guides = own.guides[:, None, down::step, right::step]
                feed[f"guides_{name}"] = np.ascontiguousarray(guides)
            _bound(feed, name, own.own, own.content.shape[2:], part)
    return feed, on


def _bound(
    feed: dict[str, Any],
    name: str,
    own: tuple[slice, slice],
    shape: Sequence[int],
    part: Part,
) -> None:
    """Where the positions that count begin and end in a part of a map of that shape."""
    axes = zip(own, shape, strict=True)
    bounds = [part.within(range(n)[positions], i) for i, (positions, n) in enumerate(axes)]
    feed[f"first_{name}"], feed[f"end_{name}"] = np.array(bounds, np.int64).T.copy()


def _whole(program: Program, tap: int, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """A tap's map, put together from its parts."""
    parts = program.taps[tap]
    if len(parts) == 1:
        return values[parts[0].value]
    return _joined(dict(zip(PHASES, (values[part.value] for part in parts), strict=True)))


class _Decided(TorchFunctionMode):
    """Inside it, the ReLUs of a module give the ``activations``, one after the other.

    What a ReLU passes on is the given value, and its gradient where that value is positive; a max
    pooling behind it finds the maximum of such values, the first in row order among equal ones.
    """

    def __init__(self, activations: Sequence[Array]) -> None:
        super().__init__()
        self._activations = iter(activations)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if func not in (torch.relu, torch.nn.functional.relu):
            return func(*args, **(kwargs or {}))
        values = torch.from_numpy(next(self._activations)).to(args[0].dtype)
        passed = args[0] * (values > 0)
        return passed + (values - passed).detach()


def _activations(values: Mapping[str, Array]) -> list[Array]:
    """ReLUs' outputs in the order of the network, phases put together."""
    maps: dict[str, Any] = {}
    for name, value in values.items():
        base, _, suffix = name.rpartition(".")
        if suffix in PHASES:
            maps.setdefault(base, {})[suffix] = value
        else:
            maps[name] = value
    return [_joined(v) if isinstance(v, dict) else v for v in maps.values()]


def _joined(phases: Mapping[str, Array]) -> Array:
    """The map whose even and odd rows and columns they are."""
    (_, channels, *even), odd = phases["ee"].shape, phases["oo"].shape[2:]
    whole = np.empty((1, channels, even[0] + odd[0], even[1] + odd[1]), np.float32)
    for suffix, (down, right) in PHASES.items():
        whole[..., down::2, right::2] = phases[suffix]
    return whole


def _reference(module: Taps, image: Array, given: _Given, dtype: torch.dtype) -> _Computed:
    """By autograd, of 1/2 <M, S> + <v, m> over all positions, content and total variation."""
    module = module.to(dtype)
    x = torch.from_numpy(image).to(dtype).requires_grad_()
    vertical, horizontal = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    loss = given.tv_weight * (vertical.square().sum() + horizontal.square().sum())
    maps = module(x)
    sums: list[Any] = [_variation(image.astype(np.float64)[0], given.own)]
    for own, features in zip(given.taps.values(), maps, strict=True):
        mixing = torch.from_numpy(own.mixing).to(dtype)
        guides = torch.ones(1, *features.shape[2:], dtype=dtype)
        if own.guides is not None:
            guides = torch.from_numpy(own.guides).to(dtype)
        second, first = _moments(features, guides)
        loss = loss + 0.5 * (mixing * second).sum()
        if own.shift is not None:
            loss = loss + (torch.from_numpy(own.shift).to(dtype) * first).sum()
        difference = features - torch.from_numpy(own.content).to(dtype)
        loss = loss + own.weight * difference.square().sum()
        with torch.no_grad():
            counted = (..., *own.own)
            second, first = _moments(features[counted], guides[counted])
            sums += [second.flatten(0, 1).numpy(), difference[counted].square().sum().numpy()]
            sums += [] if own.shift is None else [first.numpy()]
    loss.backward()  # type: ignore[no-untyped-call]
    module.to(torch.float32)
    assert x.grad is not None
    return _Computed(x.grad.numpy(), sums, [m.detach().numpy() for m in maps])


def _moments(features: Tensor, guides: Tensor) -> tuple[Tensor, Tensor]:
    """S [R, C, C] and m [R, C] of features [1, C, h, w] with guides [R, h, w]."""
    matrix, weights = features.flatten(2)[0], guides.flatten(1)
    return torch.einsum("rn,cn,dn->rcd", weights, matrix, matrix), weights @ matrix.T


def _variation(image: NDArray[np.float64], own: tuple[slice, slice]) -> float:
    """The sum over counted pixels x_i of x_i times its differences from its neighbours."""
    slope = np.zeros_like(image)
    for axis in (1, 2):
        difference = np.diff(image, axis=axis)
        widths = [(0, 0)] * 3
        widths[axis] = (1, 0)
        slope += np.pad(difference, widths)
        widths[axis] = (0, 1)
        slope -= np.pad(difference, widths)
    return float((image * slope)[(slice(None), *own)].sum())


def _worst(computed: Sequence[Any], expected: Sequence[Any]) -> float:
    return float(np.max([_error(a, b) for a, b in zip(computed, expected, strict=True)]))


def _error(computed: Any, expected: Any) -> float:
    """The largest difference over the largest expected component."""
    scale = float(np.abs(expected).max()) or 1.0
    return float(np.abs(np.asarray(computed, np.float64) - expected).max()) / scale
