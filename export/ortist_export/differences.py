"""Is a bundle right? Its gradient against central differences in float64, without PyTorch.

Three comparisons, on pictures without ties (where a maximum has no derivative):

1. Features of the bundle's files, in float32 by ONNX Runtime, against the plain graph of the
   backbone in float64, where that is known: built anew for a known architecture, or of the ONNX
   file that the bundle came from. Otherwise against the files' own graphs in float64.
2. The sums that losses are made of (moments, errors, total variation), in float32, against their
   formulas in NumPy on those features.
3. The gradient: the whole program in float64 against central differences of the loss along random
   directions, (L(x + h v) - L(x - h v)) / 2 h = <v, g>; and that of the files in float32 against
   the way back in float64 on the very features that float32 found, since rounding may decide
   between two all but equal values, and then correct gradients differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper
from ortist_models import FEATURES

from .adopting import adopt
from .backbones import BACKBONES
from .bundle import IMAGENET
from .errors import ExportError
from .float64 import evaluator, in_float64
from .foreign import swapped_by
from .layers import backbone_model
from .one_piece import Run, run_one_piece
from .probes import (
    TOLERANCE,
    Array,
    Given,
    error_of,
    fed,
    natural,
    read_bundle,
    read_picture,
    variation,
    whole,
    worst,
)
from .program import Program
from .reading import read_model
from .survey import survey
from .weights import Weights, read_weights

__all__ = ["Difference", "check_differences"]

_STEPS = (1e-7, 1e-6)
"""h, in normalised values: the second is tried where the first rounds too much.

A long step crosses kinks, a short one rounds; a gradient that is wrong is so with both.
"""
_DIRECTIONS = 2

Values = Mapping[str, NDArray[Any]]
Features = Callable[[Array], list[NDArray[Any]]]
"""Taps' maps of a picture."""


@dataclass(frozen=True)
class Difference:
    """Worst relative errors of one image.

    ``features`` (of the program, and of the graph of the features alone), ``sums`` and
    ``gradient`` (float32 against float64) are shares of the largest
    component or of the sum; ``difference``, of the float64 gradient against central differences, is
    a share of the gradient's norm, v being normal. Both gradients are the worse of a program with
    plain terms and of one with regions and shifts.
    """

    image: str
    size: tuple[int, int]
    features: float
    sums: float
    gradient: float
    difference: float

    @property
    def worst(self) -> float:
        """The largest of the errors; NaN where one is."""
        return float(np.max([self.features, self.sums, self.gradient, self.difference]))

    @property
    def passed(self) -> bool:
        """Whether all of them are within the tolerance; NaN is not."""
        return self.worst <= TOLERANCE


def check_differences(
    folder: Path, weights: Path | None, extra: Mapping[str, Array]
) -> Iterator[Difference]:
    """Compares the bundle in ``folder`` with float64, worst errors image by image.

    ``weights`` is the file that the bundle was exported from; its hash must be the manifest's.
    ``extra`` are further images, normalised by ImageNet's statistics, of which a corner is taken.
    Raises ExportError for a bundle that cannot be read, and for weights that are not its own.
    """
    manifest, program = read_bundle(folder)
    if weights is not None and Weights(weights, "", "").sha256 != manifest["weights"]["sha256"]:
        raise ExportError(f"{str(weights)!r} is not the file that {folder.name} came from.")
    features = _reference(manifest, program, weights)
    alone = _features_alone(folder, manifest, tuple(program.taps))
    for name, image in _images(extra, manifest["smallest_side"]):
        yield _compare(name, _shown(image, manifest), program, features, alone)


def _images(extra: Mapping[str, Array], smallest_side: int) -> Iterator[tuple[str, Array]]:
    least = max(48, smallest_side)
    real = read_picture(Path(__file__).with_name("real.jpg"))
    for name, image in {**extra, "real": real}.items():
        yield name, np.ascontiguousarray(image[:, :, : max(96, least), : max(128, least)])
    yield "natural", natural(least + 17, least + 22)
    yield "tiny", natural(max(17, smallest_side), max(23, smallest_side))


def _shown(image: Array, manifest: Mapping[str, Any]) -> Array:
    """A picture normalised by ImageNet's statistics, normalised as the model has it."""
    mean, std = (
        np.array(manifest["normalization"][key]).reshape(1, 3, 1, 1) for key in ("mean", "std")
    )
    usual = [np.array(n).reshape(1, 3, 1, 1) for n in (IMAGENET.mean, IMAGENET.std)]
    return np.asarray((image * usual[1] + usual[0] - mean) / std, np.float32)


def _reference(
    manifest: Mapping[str, Any], program: Program, weights: Path | None
) -> Features | None:
    """What gives the backbone's features in float64; None where only the program knows it."""
    taps, name = tuple(program.taps), manifest["backbone"]
    if name in BACKBONES and manifest["layers"] == list(BACKBONES[name].layers):
        backbone = BACKBONES[name]
        if weights is not None:
            arrays = read_weights(weights, backbone, max(taps))
        else:
            arrays = {
                tensor.name: np.asarray(numpy_helper.to_array(tensor), np.float32)
                for segment in program.segments
                for tensor in segment.graph.initializer
                if tensor.name in backbone.parameters(max(taps))
            }
        model = backbone_model(backbone, arrays, taps, manifest.get("pooling", "max"))
    elif weights is not None:
        swapped = swapped_by(manifest["normalization"])
        model = adopt(survey(weights, read_model(weights)), taps, swapped).model
    else:
        return None
    return _runner(model, taps)


def _runner(model: onnx.ModelProto, taps: Sequence[int]) -> Features:
    running = evaluator(in_float64(model))
    names = [f"tap_{tap}" for tap in taps]

    def features(image: Array) -> list[NDArray[Any]]:
        found: Any = running.run(names, {"image": image.astype(np.float64)})
        return [np.asarray(value) for value in found]

    return features


def _features_alone(
    folder: Path, manifest: Mapping[str, Any], taps: Sequence[int]
) -> Features | None:
    """The maps that the graph of the features alone gives; None where the bundle has none."""
    if FEATURES not in manifest["files"]:
        return None
    path = folder / FEATURES
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExportError(f"cannot read {str(path)!r} ({error.strerror}).") from error
    if hashlib.sha256(data).hexdigest() != manifest["files"][FEATURES]["sha256"]:
        raise ExportError(f"{path} is damaged: its sha256 is not the manifest's.")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [f"tap_{tap}" for tap in taps]
    return lambda image: list(session.run(names, {"image": image}))


def _compare(
    name: str, image: Array, program: Program, features: Features | None, alone: Features | None
) -> Difference:
    taps, everywhere = tuple(program.taps), range(len(program.segments))
    parts = [part.value for parts in program.taps.values() for part in parts]

    def maps(double: Sequence[int], of: Array) -> list[NDArray[Any]]:
        values = run_one_piece(program, {"image": of}, (), double=double, until=parts)
        return [whole(program, tap, values) for tap in taps]

    own, other = maps((), image), maps((), natural(image.shape[2], image.shape[3], seed=1))
    exact = maps(everywhere, image) if features is None else features(image)
    plain, guided = Given.plain(own, other, taps), Given.guided(own, other, taps, image.shape)
    sums, gradients, differences = [], [], []
    for given in (plain, guided):
        feed, on = fed(program, given, image)
        values = run_one_piece(program, feed, on)
        sums.append(_sums_error(values, given, exact, image))
        there = _way_there(program)
        back = [number for number in everywhere if number not in there]
        mixed = run_one_piece(program, feed, on, double=back)
        gradients.append(error_of(values["gradient"], mixed["gradient"]))
        differences.append(_difference(program, given, image))
    return Difference(
        name,
        (image.shape[2], image.shape[3]),
        max(worst(found, exact) for found in (own, alone and alone(image)) if found is not None),
        max(sums),
        max(gradients),
        max(differences),
    )


def _way_there(program: Program) -> list[int]:
    """The segments that read nothing which is decided from the sums."""
    decided = ("mixing_", "shift_", "content_weight_", "d_")
    found = []
    for number, segment in enumerate(program.segments):
        if any(value.name.startswith(decided) for value in segment.graph.input):
            break
        found.append(number)
    return found


def _sums_error(values: Values, given: Given, exact: Sequence[NDArray[Any]], image: Array) -> float:
    """Against the formulas: S = sum T F F^T, m = sum T F and ||F - P||^2 where positions count."""
    pairs: list[tuple[Any, Any]] = [
        (values["variation"], variation(image.astype(np.float64)[0], given.own))
    ]
    for (tap, own), features in zip(given.taps.items(), exact, strict=True):
        counted = features[(..., *own.own)]
        matrix = counted.reshape(counted.shape[1], -1)
        guides = np.ones((1, matrix.shape[1]))
        if own.guides is not None:
            guides = own.guides[(..., *own.own)].reshape(len(own.guides), -1).astype(np.float64)
        second = np.einsum("rn,cn,dn->rcd", guides, matrix, matrix, optimize=True)
        pairs.append((values[f"moments_{tap}"], second.reshape(-1, len(matrix))))
        difference = counted - own.content[(..., *own.own)]
        pairs.append((values[f"content_error_{tap}"], np.square(difference).sum()))
        if own.shift is not None:
            pairs.append((values[f"sums_{tap}"], guides @ matrix.T))
    return max(error_of(got, expected) for got, expected in pairs)


def _difference(program: Program, given: Given, image: Array) -> float:
    """|<v, g> - (L(x + h v) - L(x - h v)) / 2 h| over |g|, at most; all in float64."""
    everywhere = range(len(program.segments))
    # The gradient is that of all positions, whichever count in the sums.
    all_of = slice(None), slice(None)
    counted = replace(
        given,
        own=all_of,
        taps={tap: replace(own, own=all_of) for tap, own in given.taps.items()},
    )
    start = image.astype(np.float64)
    feed, on = fed(program, counted, image)
    opened: dict[int, Run] = {}
    made = run_one_piece(program, feed | {"image": start}, on, double=everywhere, opened=opened)
    gradient = made["gradient"]
    sums = ["variation"]
    for tap in program.taps:
        sums += [f"moments_{tap}", f"content_error_{tap}", f"sums_{tap}"]

    def loss(values: NDArray[Any]) -> float:
        found = run_one_piece(
            *(program, feed | {"image": values}, on),
            double=everywhere,
            until=sums,
            opened=opened,
        )
        total = float(np.float32(given.tv_weight)) * float(found["variation"])
        for tap, own in given.taps.items():
            second = found[f"moments_{tap}"].reshape(own.mixing.shape)
            total += 0.5 * float((own.mixing * second).sum())
            total += float(np.float32(own.weight)) * float(found[f"content_error_{tap}"])
            if own.shift is not None:
                total += float((own.shift * found[f"sums_{tap}"]).sum())
        return total

    rng, errors = np.random.default_rng(0), []
    for _ in range(_DIRECTIONS):
        v = rng.standard_normal(image.shape)
        own = np.inf
        for step in _STEPS:
            expected = (loss(start + step * v) - loss(start - step * v)) / (2 * step)
            error = abs(float((v * gradient).sum()) - expected) / float(np.linalg.norm(gradient))
            own = error if np.isnan(error) else min(own, error)
            if not own > TOLERANCE / 10:
                break
        errors.append(own)
    return float(np.max(errors))
