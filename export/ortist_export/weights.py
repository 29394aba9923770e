"""Weights files: read a given one, or fetch torchvision's official one with its hash checked."""

from __future__ import annotations

import hashlib
import os
import urllib.error
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from .backbones import Backbone
from .errors import ExportError

__all__ = ["Weights", "load_weights", "official_weights"]

_PREFIX = "features."


@dataclass(frozen=True)
class Weights:
    """A file of weights, where it comes from and under which license, as the manifest says."""

    path: Path
    source: str
    license: str

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hex; raises OSError where it cannot be read."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def official_weights(backbone: Backbone) -> Weights:
    """torchvision's weights for ``backbone``, downloaded once into torch's hub cache.

    A progress bar is shown. Raises ExportError where the file cannot be had or is another one,
    naming URL, hash and the path where to put it.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / backbone.url.rsplit("/", 1)[1]
    remedy = (
        f"fetch {backbone.url} (sha256 begins with {backbone.hash_prefix}) on another machine and "
        f"put it at {path}, or name a file with --weights"
    )
    if not path.is_file():
        try:
            os.makedirs(path.parent, exist_ok=True)
            torch.hub.download_url_to_file(backbone.url, str(path), backbone.hash_prefix)
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            reason = getattr(error, "reason", None) or error
            raise ExportError(f"cannot download the weights ({reason}): {remedy}.") from error
    weights = Weights(path, backbone.url, "BSD-3-Clause (torchvision)")
    if not weights.sha256.startswith(backbone.hash_prefix):
        raise ExportError(f"{path} is not the official file (its hash differs): {remedy}.")
    return weights


def load_weights(features: nn.Sequential, weights: Weights) -> None:
    """Loads the keys ``features.*`` into ``features`` in place; others (a classifier) are ignored.

    The file is read with ``weights_only=True``: tensors, no code. Raises ExportError for a file
    that is missing, that is no state dict or that belongs to another architecture.
    """
    path = weights.path
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ExportError(f"there is no weights file {str(path)!r}.") from error
    except Exception as error:  # torch raises many kinds for a damaged or unsafe file
        raise ExportError(
            f"{str(path)!r} is not a file of weights that torch.save wrote "
            f"({type(error).__name__}); give a state dict in .pth form."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ExportError(f"{str(path)!r} holds no state dict (names -> tensors).")
    wanted = features.state_dict()
    matching = {
        key.removeprefix(_PREFIX): value.float()
        for key, value in state.items()
        if isinstance(key, str) and key.removeprefix(_PREFIX) in wanted
    }
    for key, parameter in wanted.items():
        given = matching.get(key)
        if given is None or given.shape != parameter.shape:
            has = "nothing" if given is None else f"shape {tuple(given.shape)}"
            raise ExportError(
                f"{str(path)!r} does not fit this architecture: {_PREFIX}{key} should have shape "
                f"{tuple(parameter.shape)}, the file has {has}; export the architecture that the "
                "file was made for."
            )
    features.load_state_dict(matching)
