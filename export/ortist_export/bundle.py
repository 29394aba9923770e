"""A bundle: one folder with a model's ONNX files and the manifest that vouches for them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx
from ortist_models import FEATURES, FORMAT, LARGEST_FILE, MANIFEST, SEGMENT
from ortist_models.program import Exchange, Part

from .backbones import Backbone, Pooling
from .describing import describe_features
from .errors import ExportError, ExportUsageError
from .footprint import measure_footprint
from .geometry import Geometry
from .layers import backbone_model
from .program import Program, build_program
from .recipes import recipe
from .weights import Weights, read_weights
from .winograd import halved

__all__ = [
    "IMAGENET",
    "Description",
    "Normalization",
    "export_bundle",
    "measure_bundle",
    "read_program",
    "write_bundle",
]


@dataclass(frozen=True)
class Normalization:
    """What a network is shown: (sRGB in [0, 1] - ``mean``) / ``std``, by channel."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision's statistics of ImageNet."""


@dataclass(frozen=True)
class Description:
    """What a manifest says of a model besides its graphs.

    ``layers[i]`` is the name of layer i, of which ``taps`` are offered to losses. ``sha256`` is the
    hash of the file of ``weights``.
    """

    name: str
    backbone: str
    layers: Sequence[str]
    taps: tuple[int, ...]
    normalization: Normalization
    recipe: Mapping[str, Any]
    weights: Weights
    pooling: Pooling = "max"


def export_bundle(
    backbone: Backbone,
    weights: Weights,
    taps: tuple[int, ...],
    name: str,
    parent: Path,
    pooling: Pooling = "max",
) -> Path:
    """Writes the bundle ``parent/name`` and returns its path; an older one is replaced whole.

    Raises ExportError for weights that do not fit and for a folder that cannot be written.
    """
    forward = backbone_model(
        backbone, read_weights(weights.path, backbone, max(taps)), taps, pooling
    )
    description = Description(
        name,
        backbone.name,
        backbone.layers,
        taps,
        IMAGENET,
        recipe(name, taps, backbone.name),
        weights,
        pooling,
    )
    return write_bundle(forward, description, parent)


def write_bundle(forward: onnx.ModelProto, description: Description, parent: Path) -> Path:
    """Writes the bundle of a forward graph below ``parent``, and returns its path.

    The graph leads from ``image`` to ``tap_<index>`` of every tap. An older bundle of the name is
    replaced whole. Raises ExportError for a folder that cannot be written and for a model with
    larger files than the engine reads, NoGradientRuleError for an op without a gradient rule and
    GeometryError for one whose windows cannot be described.
    """
    program = build_program(forward, description.taps)
    files = {
        SEGMENT.format(index): segment.SerializeToString(deterministic=True)
        for index, segment in enumerate(program.segments)
    }
    bare = forward.SerializeToString(deterministic=True)
    told = halved(forward)
    describe_features(told)
    files[FEATURES] = told.SerializeToString(deterministic=True)
    largest = max(map(len, files.values()))
    if largest > LARGEST_FILE:
        raise ExportError(
            f"a file of this model would have {largest} bytes, and models may have files of "
            f"{LARGEST_FILE}; choose taps that are less deep."
        )
    # Before all that says or does the same in another way.
    own = hashlib.sha256(bare).hexdigest()
    manifest = _manifest(description, forward, own, files, program)
    text = json.dumps(manifest, indent=2) + "\n"
    target = parent / description.name
    try:
        _replace_folder(target, {**files, MANIFEST: text.encode()})
    except OSError as error:
        raise ExportError(
            f"cannot write the model to {str(target)!r} ({error.strerror}); choose another "
            "folder with --output or ORTIST_HOME."
        ) from error
    return target


def measure_bundle(folder: Path) -> dict[str, int]:
    """Measures a bundle's memory on this machine and writes it into its manifest.

    Raises ExportError for a folder without a manifest, or one that cannot be written.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        memory = measure_footprint(read_program(folder, manifest))
        manifest["program"] |= memory
        _replace_file(path, (json.dumps(manifest, indent=2) + "\n").encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"cannot measure the model in {str(folder)!r} ({error}).") from error
    return memory


def read_program(folder: Path, manifest: Mapping[str, Any]) -> Program:
    """The program of the bundle in ``folder``.

    Raises OSError, ValueError, KeyError or TypeError where there is none.
    """
    raw = manifest["program"]
    return Program(
        [onnx.load_model_from_string((folder / s["file"]).read_bytes()) for s in raw["segments"]],
        [Exchange(**exchange) for exchange in raw["exchanges"]],
        {
            int(tap): [Part(p["value"], tuple(p["phase"]), p["step"]) for p in parts]
            for tap, parts in raw["taps"].items()
        },
        raw["unit"],
        raw["reach"],
    )


def _replace_file(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=".manifest-", dir=path.parent)
    try:
        with open(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, path.stat().st_mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _manifest(
    description: Description,
    forward: onnx.ModelProto,
    own: str,
    files: Mapping[str, bytes],
    program: Program,
) -> dict[str, Any]:
    geometry = Geometry(forward.graph)
    seen = geometry.windows()
    shapes = {value.name: value.type.tensor_type.shape for value in forward.graph.output}
    segments = [file for file in files if file != FEATURES]
    return {
        "format": FORMAT,
        "name": description.name,
        "backbone": description.backbone,
        "pooling": description.pooling,
        "layers": list(description.layers),
        "normalization": asdict(description.normalization),
        "smallest_side": geometry.smallest_side(),
        "taps": [
            {
                "index": tap,
                "name": description.layers[tap],
                "channels": shapes[f"tap_{tap}"].dim[1].dim_value,
                "stride": seen[f"tap_{tap}"].stride,
                "receptive_field": seen[f"tap_{tap}"].size,
                "receptive_start": seen[f"tap_{tap}"].start,
                "path": geometry.path_to(f"tap_{tap}"),
            }
            for tap in description.taps
        ],
        "recipe": dict(description.recipe),
        "backbone_sha256": own,
        "program": {**program.as_json(segments), **measure_footprint(program)},
        "files": {
            file: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for file, data in files.items()
        },
        "weights": {
            "source": description.weights.source,
            "license": description.weights.license,
            "sha256": description.weights.sha256,
        },
        "exported_with": {
            "onnx": onnx.__version__,
            "ortist": importlib.metadata.version("ortist"),
        },
    }


def _replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Writes ``files`` beside ``target`` first, so that ``target`` is old or new, never half.

    Raises ExportUsageError where ``target`` is something else than an older model or empty.
    """
    usable = (target / MANIFEST).is_file() or (target.is_dir() and not any(target.iterdir()))
    if target.exists() and not usable:
        raise ExportUsageError(
            f"{str(target)!r} exists and is no model; choose another --name or --output."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fresh.chmod(0o755)
        for file, data in files.items():
            with open(fresh / file, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        if target.exists():
            stale = Path(tempfile.mkdtemp(prefix=f".{target.name}-old-", dir=target.parent))
            os.replace(target, stale / target.name)
            os.replace(fresh, target)
            shutil.rmtree(stale)
        else:
            os.replace(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
