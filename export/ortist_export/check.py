"""Is a bundle right? Its files against torch autograd and against a float64 reference.

The same losses are written once more here, in torch, straight from the formulas, and differentiated
by autograd in float32 and in float64; the ONNX files are run by ONNX Runtime. Nothing of the
graph-building code is shared with the reference. The pullback is compared on a function of the
moments that exercises all of its inputs: 1/2 <M, S> + <v, m> with fixed M and v.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from ortist_models import FEATURES, MANIFEST, OBJECTIVE, PULLBACK
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .backbones import BACKBONES, Pooling, Taps
from .bundle import NORMALIZATION
from .errors import ExportError
from .one_band import run_one_band
from .phases import PHASES
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
"""Of the largest component (features, gradient) or of the value (losses)."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Deviation:
    """Worst relative errors of one image.

    ``features`` and ``losses`` are against float64. So is ``gradient``, of autograd that is given
    the decisions of the graph itself: which ReLUs are active, and which value of a window is the
    maximum, are read off the activations that the graph computed (``_Decided``), since rounding may
    decide between two all but equal values, and then correct programs differ. ``pullback`` is the
    same for the pullback's graph, and ``bands`` of gradient and losses for the segments for bands
    of rows, if the bundle has them, with the picture as one band. For the record: ``float32`` and
    ``float64`` are the largest errors of the gradient against autograd with decisions of its own,
    ``autograd`` that of autograd's float32, and ``undecided`` counts the components where its
    float32 and float64 differ by more than the tolerance.
    """

    image: str
    size: tuple[int, int]
    features: float
    losses: float
    gradient: float
    pullback: float
    bands: float
    undecided: int
    float32: float
    float64: float
    autograd: float

    @property
    def passed(self) -> bool:
        # Not max(...) <= TOLERANCE: Python's max passes over NaN.
        errors = (self.features, self.losses, self.gradient, self.pullback, self.bands)
        return all(error <= TOLERANCE for error in errors)


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
    manifest, files = _read(folder)
    taps = tuple(int(tap["index"]) for tap in manifest["taps"])
    segments = manifest.get("bands", {}).get("segments", [])
    bands = [onnx.load_model_from_string(files[file]) for file in segments]
    features = _build(manifest)
    if weights is not None:
        given = Weights(weights, "", "")
        load_weights(features, given)
        if given.sha256 != manifest["weights"]["sha256"]:
            raise ExportError(f"{str(weights)!r} is not the file that {folder.name} came from.")
    else:
        _weights_from_graph(features, files[FEATURES])
    module = Taps(features, taps).eval()
    for name, image in check_images(extra, manifest["smallest_side"]):
        yield _compare(name, image, taps, module, files, bands)


def bundled_module(folder: Path, taps: tuple[int, ...]) -> Taps:
    """The backbone of the bundle in ``folder`` as a torch module, weights read from its graph."""
    manifest, files = _read(folder)
    features = _build(manifest)
    _weights_from_graph(features, files[FEATURES])
    return Taps(features, taps).eval()


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        names = [FEATURES, OBJECTIVE, PULLBACK, *manifest.get("bands", {}).get("segments", [])]
        files = {file: (folder / file).read_bytes() for file in names}
        for file, data in files.items():
            if hashlib.sha256(data).hexdigest() != manifest["files"][file]["sha256"]:
                raise ExportError(f"{folder / file} is damaged: its sha256 is not the manifest's.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{str(folder)!r} holds no readable model ({error}).") from error
    if manifest.get("backbone") not in BACKBONES:
        raise ExportError(f"{folder.name} is of no backbone that can be checked here.")
    return manifest, files


def _build(manifest: Mapping[str, Any]) -> torch.nn.Sequential:
    pooling = manifest.get("pooling", "max")  # which all bundles had before there was a choice
    if pooling not in get_args(Pooling):
        raise ExportError(f"{manifest['name']} has a pooling {pooling!r} that is unknown here.")
    return BACKBONES[manifest["backbone"]].build(pooling)


def _weights_from_graph(features: torch.nn.Sequential, data: bytes) -> None:
    graph = onnx.load_model_from_string(data).graph
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    state = {
        key: torch.from_numpy(stored[f"features.{key}"].copy())
        for key in features.state_dict()
        if f"features.{key}" in stored
    }
    features.load_state_dict(state, strict=False)


def _compare(
    name: str,
    image: Array,
    taps: tuple[int, ...],
    module: Taps,
    files: Mapping[str, bytes],
    bands: Sequence[onnx.ModelProto],
) -> Deviation:
    size = (image.shape[2], image.shape[3])
    with torch.no_grad():
        targets = module(torch.from_numpy(_natural(*size, seed=1)))
        grams = [_gram(f) for f in module(torch.from_numpy(_natural(*size, seed=2)))]
    weights = {tap: 10.0 ** (3 - i) for i, tap in enumerate(taps)}
    feed: dict[str, Any] = {"image": image, "tv_weight": np.array(0.02, np.float32)}
    for tap, target, gram in zip(taps, targets, grams, strict=True):
        feed[f"gram_{tap}"] = gram.numpy()
        feed[f"style_weight_{tap}"] = np.array(weights[tap], np.float32)
        feed[f"features_{tap}"] = target.numpy()
        feed[f"content_weight_{tap}"] = np.array(0.05, np.float32)
    names = ["gradient", "tv_loss"]
    names += [f"{term}_loss_{tap}" for tap in taps for term in ("style", "content")]
    (gradient, *losses), activations = _observe(files[OBJECTIVE], names, feed)
    maps = _run(files[FEATURES], [f"tap_{tap}" for tap in taps], {"image": image})

    def differentiated(dtype: torch.dtype) -> Reference:
        return reference(module, image, targets, grams, weights, dtype)

    single, double = differentiated(torch.float32), differentiated(torch.float64)
    with _Decided(activations):
        decided = differentiated(torch.float64)
    in_bands = 0.0
    if bands:
        (found, *own), activations = _observe_bands(bands, names, feed)
        with _Decided(activations):
            in_bands = _error(found, differentiated(torch.float64)[0])
        in_bands = float(np.max([in_bands, _worst(own, double[1])]))  # NaN stays NaN
    autograd = np.abs(single[0] - double[0]) / np.abs(double[0]).max()
    return Deviation(
        image=name,
        size=size,
        features=_worst(maps, double[2]),
        losses=_worst(losses, double[1]),
        gradient=_error(gradient, decided[0]),
        pullback=_compare_pullback(image, module, files[PULLBACK], double[2], targets),
        bands=in_bands,
        undecided=int((autograd > TOLERANCE).sum()),
        float32=_error(gradient, single[0]),
        float64=_error(gradient, double[0]),
        autograd=float(autograd.max()),
    )


def _compare_pullback(
    image: Array,
    module: Taps,
    pullback: bytes,
    maps: list[NDArray[Any]],
    targets: tuple[Tensor, ...],
) -> float:
    """The worst component: in turn one region everywhere, two guided ones, two without shifts.

    Or of the features, which this graph computes for itself and has no losses to show for.
    """
    rng = np.random.default_rng(0)
    feed: dict[str, Any] = {"image": image}
    for index, (tap, features, target) in enumerate(zip(module.taps, maps, targets, strict=True)):
        _, channels, *space = features.shape
        regions, shifted = (1, 2, 2)[index % 3], (1, 2, 0)[index % 3]
        energy = float(np.square(features).mean()) or 1.0  # of order 1 for every tap
        mixing = rng.standard_normal((regions, channels, channels)) / channels / energy
        shift = rng.standard_normal((shifted, channels, 1)) / np.sqrt(channels * energy)
        per_position = 1 / np.prod(space)
        feed[f"mixing_{tap}"] = np.float32((mixing + mixing.transpose(0, 2, 1)) * per_position)
        feed[f"shift_{tap}"] = np.float32(shift * per_position)
        feed[f"guides_{tap}"] = rng.random((2 if regions == 2 else 0, 1, *space), np.float32)
        feed[f"features_{tap}"] = target.numpy()
        weight = 0.1 * per_position / channels / energy
        feed[f"content_weight_{tap}"] = np.array(weight, np.float32)
        feed[f"counted_{tap}"] = rng.integers(0, 2, (1, 1, *space)).astype(np.float32)
    names = ["gradient", *(f"content_error_{tap}" for tap in module.taps)]
    (gradient, *errors), activations = _observe(pullback, names, feed)
    x = torch.from_numpy(image).double().requires_grad_()
    loss = torch.zeros((), dtype=torch.float64)
    with _Decided(activations):
        found = module.double()(x)
    expected_errors = []
    for tap, features in zip(module.taps, found, strict=True):
        given = {
            key: torch.from_numpy(np.asarray(feed[f"{key}_{tap}"])).double()
            for key in ("mixing", "shift", "guides", "features", "content_weight", "counted")
        }
        matrix = features.flatten(2)  # [1, C, N]
        guides = given["guides"].flatten(2) if given["guides"].numel() else 1.0
        loss = loss + 0.5 * (matrix * guides * (given["mixing"] @ matrix)).sum()
        if given["shift"].numel():
            loss = loss + (guides * given["shift"] * matrix).sum()
        squares = (features - given["features"]).square()
        loss = loss + given["content_weight"] * squares.sum()
        expected_errors.append((given["counted"] * squares).sum().detach().numpy())
    loss.backward()  # type: ignore[no-untyped-call]
    module.float()
    assert x.grad is not None
    forward = _worst([features.detach().numpy() for features in found], maps)
    sums = _worst(errors, expected_errors)
    return max(_error(gradient, x.grad.numpy()), forward, sums)


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


def _observe(
    model: bytes, outputs: list[str], feed: Mapping[str, Any]
) -> tuple[list[NDArray[Any]], list[Array]]:
    """The outputs, and what the ReLUs of the graph gave on the way, put together from phases."""
    observed = onnx.load_model_from_string(model)
    names = [node.output[0] for node in observed.graph.node if node.op_type == "Relu"]
    known = {value.name for value in observed.graph.output}
    extra = [onnx.ValueInfoProto(name=name) for name in names if name not in known]
    observed.graph.output.extend(extra)
    found = _run(observed.SerializeToString(), [*outputs, *names], feed)
    values = dict(zip(names, found[len(outputs) :], strict=True))
    return found[: len(outputs)], _activations(values)


def _observe_bands(
    bands: Sequence[onnx.ModelProto], outputs: list[str], feed: Mapping[str, Any]
) -> tuple[list[NDArray[Any]], list[Array]]:
    """The same of a picture that is one band."""
    nodes = [node for segment in bands for node in segment.graph.node]
    names = [node.output[0] for node in nodes if node.op_type == "Relu"]
    found = run_one_band(bands, feed, names)
    return [found[name] for name in outputs], _activations({name: found[name] for name in names})


def _activations(values: Mapping[str, Array]) -> list[Array]:
    """ReLUs' outputs in the order of the network, phases put together."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        base, _, suffix = name.rpartition(".")
        if suffix in PHASES:
            found.setdefault(base, {})[suffix] = value
        else:
            found[name] = value
    return [_joined(v) if isinstance(v, dict) else v for v in found.values()]


def _joined(phases: Mapping[str, Array]) -> Array:
    """The map whose even and odd rows and columns they are."""
    (_, channels, *even), odd = phases["ee"].shape, phases["oo"].shape[2:]
    whole = np.empty((1, channels, even[0] + odd[0], even[1] + odd[1]), np.float32)
    for suffix, (down, right) in PHASES.items():
        whole[..., down::2, right::2] = phases[suffix]
    return whole


Reference = tuple[NDArray[Any], list[float], list[NDArray[Any]]]


def reference(
    module: Taps,
    image: Array,
    targets: tuple[Tensor, ...],
    grams: list[Tensor],
    weights: Mapping[int, float],
    dtype: torch.dtype,
) -> Reference:
    """Gradient, losses (TV, then style and content tap by tap) and features, by autograd."""
    module = module.to(dtype)
    x = torch.from_numpy(image).to(dtype).requires_grad_()
    vertical, horizontal = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    losses = [0.02 * (vertical.square().sum() + horizontal.square().sum())]
    maps = module(x)
    for tap, features, target, gram in zip(module.taps, maps, targets, grams, strict=True):
        losses.append(weights[tap] * (_gram(features) - gram.to(dtype)).square().sum())
        losses.append(0.05 * (features - target.to(dtype)).square().sum())
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    module.to(torch.float32)
    assert x.grad is not None
    return x.grad.numpy(), [loss.item() for loss in losses], [m.detach().numpy() for m in maps]


def _gram(features: Tensor) -> Tensor:
    matrix = features.reshape(features.shape[1], -1)
    return matrix @ matrix.T / matrix.numel()


def _run(model: bytes, outputs: list[str], feed: Mapping[str, Any]) -> list[NDArray[Any]]:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import, or it is sent
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    results: list[NDArray[Any]] = session.run(outputs, dict(feed))
    return results


def _worst(found: Sequence[Any], expected: Sequence[Any]) -> float:
    return float(np.max([_error(a, b) for a, b in zip(found, expected, strict=True)]))


def _error(found: Any, expected: Any) -> float:
    """The largest difference over the largest expected component."""
    scale = float(np.abs(expected).max()) or 1.0
    return float(np.abs(np.asarray(found, np.float64) - expected).max()) / scale
