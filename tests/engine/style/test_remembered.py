"""What is kept of styles: each picture is looked at once, and no other is taken for it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ortist.arrays import Array
from ortist.network.bundle import Model
from ortist.style.guides import Guides
from ortist.style.moments import Moments, sum_moments
from ortist.style.remembered import RememberingObserver


class Counting:
    """Its features are the pixels, and it counts how often it is asked."""

    def __init__(self, model: Model) -> None:
        self.model, self.asked = model, 0

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        self.asked += 1
        return {tap: [sum_moments(image)] for tap in taps}


def test_a_picture_is_looked_at_once(procedural: Model) -> None:
    counting = Counting(procedural)
    observer = RememberingObserver(counting)
    assert observer.model is procedural
    image = np.random.default_rng(0).random((1, 3, 8, 9), np.float32)
    first = observer.moments(image, [1, 4])
    assert observer.moments(image.copy(), (1, 4)) is first
    assert counting.asked == 1


def test_another_picture_is_not_taken_for_it(procedural: Model) -> None:
    """One value, the shape, the taps or the masks: each makes another."""
    counting = Counting(procedural)
    observer = RememberingObserver(counting)
    image = np.zeros((1, 3, 8, 9), np.float32)
    changed = image.copy()
    changed[0, 2, 7, 8] = 1e-9
    masks = np.ones((2, 8, 9), np.float32)
    others = masks.copy()
    others[1, 0, 0] = 0.5
    asked = [
        (image, (1, 4), None),
        (changed, (1, 4), None),
        (image.reshape(1, 3, 9, 8), (1, 4), None),
        (image, (1,), None),
        (image, (1, 4), Guides(masks)),
        (image, (1, 4), Guides(others)),
    ]
    for count, words in enumerate(asked, 1):
        observer.moments(*words)
        assert counting.asked == count
    for words in asked:
        observer.moments(*words)
    assert counting.asked == len(asked)


def test_only_the_last_ones_are_kept(procedural: Model) -> None:
    counting = Counting(procedural)
    observer = RememberingObserver(counting)
    images = [np.full((1, 3, 4, 4), value, np.float32) for value in range(40)]
    for image in images:
        observer.moments(image, [1])
        observer.moments(images[0], [1])  # in use: it stays
    assert counting.asked == 40
    observer.moments(images[1], [1])
    assert counting.asked == 41
