"""A bundle: one folder with a model's ONNX files and the manifest that vouches for them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from ortist_models import CONTENT, FEATURES, FORMAT, MANIFEST, OBJECTIVE, PULLBACK, SEGMENT
from torch import nn

from .backbones import Backbone, Pooling, Taps
from .bands import NoBandsError, cut_into_bands
from .errors import ExportError, ExportUsageError
from .footprint import measure_footprint
from .forward import first_layers, forward_model
from .geometry import windows
from .objective import objective_model
from .one_band import kept_bytes
from .pullback import pullback_model
from .recipes import recipe
from .weights import Weights, load_weights

__all__ = ["NORMALIZATION", "export_bundle", "measure_bundle"]

NORMALIZATION = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""torchvision's ImageNet statistics: normalised = (sRGB in [0, 1] - mean) / std."""


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
    features = backbone.build(pooling)
    load_weights(features, weights)
    module = Taps(features, taps)
    forward = forward_model(module)
    models, bands = _graphs(forward, taps, max(recipe(name, taps)["content_layers"]))
    files = {file: model.SerializeToString(deterministic=True) for file, model in models.items()}
    manifest = _manifest(backbone, pooling, weights, module, forward, name, files, bands)
    text = json.dumps(manifest, indent=2) + "\n"
    try:
        _replace_folder(parent / name, {**files, MANIFEST: text.encode()})
    except OSError as error:
        raise ExportError(
            f"cannot write the model to {str(parent / name)!r} ({error.strerror}); choose another "
            "folder with --output or ORTIST_HOME."
        ) from error
    return parent / name


def _graphs(
    forward: onnx.ModelProto, taps: tuple[int, ...], deepest: int
) -> tuple[dict[str, onnx.ModelProto], dict[str, Any] | None]:
    """The models by file, and the manifest's entry on the bands, if there are such."""
    models = {
        FEATURES: forward,
        CONTENT: first_layers(forward, [tap for tap in taps if tap <= deepest]),
        OBJECTIVE: objective_model(forward, taps),
        PULLBACK: pullback_model(forward, taps),
    }
    for model in models.values():
        onnx.checker.check_model(model, full_check=True)
    entry: dict[str, Any] | None = None
    try:
        bands = cut_into_bands(forward, taps)
    except NoBandsError:  # then the engine has the graph of the whole picture alone
        pass
    else:
        names = [SEGMENT.format(index) for index in range(len(bands.segments))]
        channels = {tap: _channels(forward)[f"tap_{tap}"] for tap in taps}
        kept = kept_bytes(bands.segments, channels)
        switches = dict(zip(names, bands.switches(), strict=True))
        entry = {"segments": switches, "unit": bands.unit, "reach": bands.reach, "kept": kept}
        models |= dict(zip(names, bands.segments, strict=True))
    return models, entry


def _channels(forward: onnx.ModelProto) -> dict[str, int]:
    return {
        value.name: value.type.tensor_type.shape.dim[1].dim_value for value in forward.graph.output
    }


def measure_bundle(folder: Path) -> dict[str, int]:
    """Measures a bundle's memory on this machine and writes it into its manifest.

    Raises ExportError for a folder without a manifest, or one that cannot be written.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        files = {file: (folder / file).read_bytes() for file in manifest["files"]}
        manifest["memory"] = found = measure_footprint(_whole(files))
        _replace_file(path, (json.dumps(manifest, indent=2) + "\n").encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"cannot measure the model in {str(folder)!r} ({error}).") from error
    return found


def _whole(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The graphs of whole pictures, without those of bands."""
    return {file: files[file] for file in (FEATURES, CONTENT, OBJECTIVE, PULLBACK) if file in files}


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
    backbone: Backbone,
    pooling: Pooling,
    weights: Weights,
    module: Taps,
    forward: onnx.ModelProto,
    name: str,
    files: Mapping[str, bytes],
    bands: Mapping[str, Any] | None,
) -> dict[str, Any]:
    seen, channels = windows(forward.graph), _channels(forward)
    entry = {} if bands is None else {"bands": dict(bands)}
    return {
        "format": FORMAT,
        "name": name,
        "backbone": backbone.name,
        "pooling": pooling,
        "layers": list(backbone.layers),
        "normalization": NORMALIZATION,
        "smallest_side": _smallest_side(module),
        "taps": [
            {
                "index": tap,
                "name": backbone.layers[tap],
                "channels": channels[f"tap_{tap}"],
                "stride": seen[f"tap_{tap}"].stride,
                "receptive_field": seen[f"tap_{tap}"].size,
                "receptive_start": seen[f"tap_{tap}"].start,
            }
            for tap in module.taps
        ],
        "recipe": recipe(name, module.taps),
        "memory": measure_footprint(_whole(files)),
        **entry,
        "files": {
            file: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for file, data in files.items()
        },
        "weights": {
            "source": weights.source,
            "license": weights.license,
            "sha256": weights.sha256,
        },
        "exported_with": {
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "ortist": importlib.metadata.version("ortist"),
        },
    }


def _smallest_side(module: nn.Module) -> int:
    """The least height and width, in pixels, for which every tap has a feature."""
    for side in range(1, 256):
        try:
            module(torch.zeros(1, 3, side, side))
        except RuntimeError:
            continue
        return side
    raise ExportError("this backbone has no output even for 255 x 255 pixels.")


def _empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Writes ``files`` beside ``target`` first, so that ``target`` is old or new, never half.

    Raises ExportUsageError where ``target`` is something else than an older model or empty.
    """
    if target.exists() and not (target / MANIFEST).is_file() and not _empty(target):
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
