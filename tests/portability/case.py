"""What every runtime is asked, what ONNX Runtime in Python answers, and how both are compared."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.network.bundle import load_model
from ortist.objective.sweeper import Sweeper
from ortist.pictures.values import normalize
from ortist_models import SHIPPED, SHIPPED_MODEL

from tests.conftest import small_pictures

__all__ = ["FOLDER", "STEPS", "Difference", "asked", "compare", "packages", "programs"]

FOLDER = SHIPPED / SHIPPED_MODEL
STEPS = 20
_HERE = Path(__file__).resolve().parent
_TOLERANCE = 1e-5
"""Of the largest component of a gradient: one that differs by more is counted."""


@dataclass(frozen=True)
class Difference:
    """How far an answer is from Python's.

    ``features`` and ``gradient`` are the largest differences over the largest components, ``share``
    the part of the gradient's components that differ by more than 1e-5 of the largest. ``loss``,
    and the losses of the steps, differ by that much relatively. ``levels`` is the mean difference
    of the pictures after the steps, in levels of 255.
    """

    features: float
    gradient: float
    share: float
    loss: float
    losses: float
    levels: float


def programs(*names: str) -> None:
    """Skips the test, or fails it in CI, where one of those programs is missing."""
    for name in names:
        if shutil.which(name) is None:
            _missing(f"needs {name} on the PATH")


def packages(name: str) -> Path:
    """The folder of npm's packages with that one; skips the test, or fails it in CI."""
    if not (_HERE / "node_modules" / name).is_dir():
        _missing(f"needs {name}: npm install --ignore-scripts --prefix {_HERE}")
    return _HERE / "node_modules"


def _missing(message: str) -> None:
    required = os.environ.get("ORTIST_REQUIRE_ALL") == "1"
    if required and os.environ.get("ORTIST_TEST_PORTABILITY") != "no":
        pytest.fail(message)
    pytest.skip(message)


@functools.cache
def _pictures() -> dict[str, NDArray[np.uint8]]:
    content, style = small_pictures()
    image = content // 2 + style // 2
    return {"content": content, "style": style, "image": image}


def asked() -> dict[str, Any]:
    """The pictures, normalised, as data and lengths."""
    model = load_model(FOLDER)
    found: dict[str, Any] = {"steps": STEPS}
    for name, pixels in _pictures().items():
        values = normalize(pixels.astype(np.float32) / np.float32(255), model)
        found[name] = {"data": values.ravel().tolist(), "dims": list(values.shape)}
    return found


@functools.cache
def _expected() -> dict[str, Any]:
    """Python's answer, on one thread and as one band."""
    pictures, model = _pictures(), load_model(FOLDER)
    options: dict[str, Any] = {"size": 48, "smallest_size": None, "jitter": 1, "threads": 1}
    options |= {"provider": "cpu", "model": str(FOLDER)}
    run = ortist.iterate(
        pictures["content"], pictures["style"], init=pictures["image"], iterations=1, **options
    )
    first = next(run)
    assert run.state is not None
    gradient = np.asarray(run.state.point.gradient)
    painting = ortist.iterate(pictures["content"], pictures["style"], iterations=STEPS, **options)
    losses = [progress.losses.total for progress in painting]
    image = normalize(pictures["image"].astype(np.float32) / np.float32(255), model)
    maps = Sweeper(model, "cpu", 1).maps(image, [tap.index for tap in model.taps])
    return {
        "features": maps,
        "loss": first.losses.total,
        "gradient": gradient,
        "losses": losses,
        "picture": painting.painting().values,
    }


def compare(answer: Mapping[str, Any]) -> Difference:
    """An answer of ``client.mjs`` with Python's."""
    expected, model = _expected(), load_model(FOLDER)
    parts = {part.value: (t, part) for t, own in model.program.taps.items() for part in own}
    assert {name for name, _, _ in answer["features"]} == {*parts}
    features = 0.0
    for name, data, dims in answer["features"]:
        tap, part = parts[name]
        whole = expected["features"][tap]
        own = whole[:, :, part.phase[0] :: part.step, part.phase[1] :: part.step]
        assert list(own.shape) == dims
        difference = np.abs(np.reshape(data, dims) - own).max()
        features = max(features, float(difference / np.abs(whole).max()))
    gradient = expected["gradient"]
    off = np.abs(np.reshape(answer["gradient"], gradient.shape) - gradient) / np.abs(gradient).max()
    shape = (3, *expected["picture"].shape[:2])
    picture = np.reshape(answer["picture"], shape).transpose(1, 2, 0) * model.std + model.mean
    losses = np.array(expected["losses"][:STEPS])
    return Difference(
        features=features,
        gradient=float(off.max()),
        share=float((off > _TOLERANCE).mean()),
        loss=abs(answer["loss"] / expected["loss"] - 1),
        losses=float(np.abs(np.array(answer["losses"]) / losses - 1).max()),
        levels=255 * float(np.abs(picture - expected["picture"]).mean()),
    )
