"""Binding: the same as a plain run, with inputs that stay."""

from __future__ import annotations

import numpy as np
from ortist.network.bundle import Model
from ortist.network.sessions import open_session
from ortist.objective.binding import Binding
from ortist_models import OBJECTIVE


def test_a_bound_run_gives_what_a_plain_one_gives(procedural: Model) -> None:
    rng = np.random.default_rng(0)
    session = open_session(procedural.read(OBJECTIVE), "cpu")
    binding = Binding(session)
    inputs = {"tv_weight": np.array(0.5, np.float32)}
    for tap in procedural.taps:
        index, channels = tap.index, tap.channels
        gram = rng.random((channels, channels) if index == 4 else (0, 0), np.float32)
        inputs[f"gram_{index}"] = gram
        inputs[f"features_{index}"] = np.zeros((0, channels, 1, 1), np.float32)
        inputs[f"style_weight_{index}"] = np.array(2, np.float32)
        inputs[f"content_weight_{index}"] = np.array(1, np.float32)
    binding.hold(inputs)
    names = ["style_loss_4", "tv_loss"]
    for height, width in ((40, 52), (48, 40), (40, 52)):
        image = rng.standard_normal((1, 3, height, width), np.float32)
        for weight in (2, 3):
            inputs["style_weight_4"] = np.array(weight, np.float32)
            binding.hold({"style_weight_4": inputs["style_weight_4"]})
            gradient, numbers = binding.run(image, "gradient", names)
            expected = session.run(["gradient", *names], {"image": image, **inputs})
            np.testing.assert_array_equal(gradient, expected[0])
            assert numbers == [float(value) for value in expected[1:]]
            assert numbers[0] > 0
