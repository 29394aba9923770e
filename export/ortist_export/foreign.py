"""``ortist export FILE.onnx``: a bundle of any feed-forward CNN, and a list of its layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .adopting import Adopted, adopt
from .bundle import IMAGENET, Description, Normalization, write_bundle
from .errors import ExportError
from .geometry import Geometry, GeometryError
from .reading import read_model
from .recipes import recipe
from .rules import NoGradientRuleError
from .survey import Survey, survey
from .weights import Weights

__all__ = ["INPUTS", "Input", "InputName", "export_onnx", "input_of", "list_layers", "swapped_by"]

InputName = Literal["auto", "imagenet", "unit", "symmetric", "caffe"]


@dataclass(frozen=True)
class Input:
    """What a network is shown: normalised values, with blue first where ``swapped``."""

    normalization: Normalization
    swapped: bool = False


_BYTE = 1 / 255
INPUTS: dict[str, Input] = {
    "imagenet": Input(IMAGENET),
    "unit": Input(Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))),
    "symmetric": Input(Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))),
    # 0 to 255, blue first, less the mean of ImageNet.
    "caffe": Input(
        Normalization((123 * _BYTE, 117 * _BYTE, 104 * _BYTE), (_BYTE, _BYTE, _BYTE)), swapped=True
    ),
}
"""What networks are shown, by the names that ``--input`` takes."""

_CAFFE = re.compile(r"bvlc|caffe|rcnn|zfnet|googlenet|inception[-_]?v[12]", re.IGNORECASE)
"""Names of the zoo's networks that come from Caffe; all others of it take ImageNet's statistics."""


def input_of(path: Path, name: InputName) -> str:
    """The name of what the network in a file is shown, which ``auto`` takes from the file's."""
    if name != "auto":
        return name
    return "caffe" if _CAFFE.search(path.stem) else "imagenet"


def swapped_by(normalization: Mapping[str, Any]) -> bool:
    """Whether a manifest's normalisation is one of networks that take blue first."""
    return any(
        shown.swapped and list(shown.normalization.mean) == list(normalization["mean"])
        for shown in INPUTS.values()
    )


def export_onnx(
    path: Path, taps: str, name: str, parent: Path, weights: Weights, shown: str
) -> Path:
    """Writes the bundle ``parent/name`` of the network in an ONNX file, and returns its path.

    ``taps`` are names or numbers of layers (Survey.taps), ``weights`` says where the file comes
    from, ``shown`` is one of INPUTS. Raises ExportError for a file that is none, a layer that
    cannot be tapped, and what has no gradient rule.
    """
    found = survey(path, read_model(path))
    chosen = found.taps(taps)
    adopted = adopt(found, chosen, INPUTS[shown].swapped)
    description = Description(
        name,
        path.name if path.name.isprintable() else "network.onnx",
        found.layers,
        chosen,
        INPUTS[shown].normalization,
        recipe(name, chosen),
        weights,
    )
    try:
        return write_bundle(adopted.model, description, parent)
    except (NoGradientRuleError, GeometryError) as error:
        raise ExportError(
            f"{path.name}: {adopted.label(error.node)} cannot be taken: {error.reason}; tap layers "
            "before it."
        ) from error


def list_layers(path: Path) -> Iterator[str]:
    """Lines that list what a network has to tap: number, name, op, channels, stride, field.

    Raises ExportError for a file that is none.
    """
    found = survey(path, read_model(path))
    sizes = _sizes(found)
    yield f"{'':>4}  {'name':<32} {'op':<20} channels stride  sees"
    for number, (name, value) in enumerate(zip(found.layers, found.values, strict=True)):
        if number:
            op = "shuffle" if value in found.shuffles else found.makers[value].op_type
            yield f"{number:>4}  {name:<32} {op:<20} {sizes.get(number, '')}".rstrip()
    barred = [reason for value, reason in found.barred.items() if value not in found.sizes]
    reasons = [reason for reason in barred if reason.startswith("it lies behind")]
    if reasons:
        yield f"nothing else can be tapped: {reasons[0]}"


def _sizes(found: Survey) -> dict[int, str]:
    """Channels, stride and field of layers, by number, up to the first that cannot be taken."""
    taps = range(1, len(found.values))
    adopted: Adopted | None = None
    while adopted is None and taps:
        try:
            adopted = adopt(found, taps)
        except ExportError:
            taps = taps[: len(taps) // 2]
    if adopted is None:
        return {}
    channels = {
        v.name: v.type.tensor_type.shape.dim[1].dim_value for v in adopted.model.graph.output
    }
    try:
        windows = Geometry(adopted.model.graph).windows()
    except GeometryError:
        return {tap: f"{channels[f'tap_{tap}']:>8}" for tap in taps}
    return {
        tap: f"{channels[f'tap_{tap}']:>8} {windows[f'tap_{tap}'].stride:>6} "
        f"{windows[f'tap_{tap}'].size:>5}"
        for tap in taps
    }
