"""What one picture of a film leaves to the next."""

from __future__ import annotations

import numpy as np
from ortist.run.trail import Trail


def test_the_next_picture_starts_from_the_last_painting_and_what_changed() -> None:
    trail, first, painted = Trail(), np.zeros((1, 3, 4, 5), np.float32), np.ones((1, 3, 4, 5))
    assert trail.start(first) is None
    trail.target = first
    trail.keep(painted)
    assert (trail.start(first + 2) == painted + 2).all()


def test_after_a_picture_that_time_cut_short_one_is_painted_as_any_is() -> None:
    trail = Trail()
    trail.target = np.zeros((1, 3, 2, 2), np.float32)  # of the scale that it came to
    trail.keep(np.ones((1, 3, 4, 5), np.float32))
    assert trail.start(np.zeros((1, 3, 4, 5), np.float32)) is None
