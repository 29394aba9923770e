"""The scales of a run, from small to large."""

from __future__ import annotations

from dataclasses import dataclass

from ..options.fields import Options

__all__ = ["Scale", "plan_scales"]

_STRIDE = 16
"""A multiple of the strides of all taps that there are."""


@dataclass(frozen=True)
class Scale:
    """A scale of the pyramid: the picture's shorter side, in pixels, and its number of steps."""

    side: int
    iterations: int


def plan_scales(options: Options) -> list[Scale]:
    """The scales from small to large: size / sqrt(2)^i down to ``smallest_size``.

    Coarse structure is cheap to move where the picture is small (Gatys et al., CVPR 2017, section
    5). The first scale gets a double share of the iterations, and what a division leaves over;
    where there are too few for every scale to get one, the smallest are left out. The smaller
    scales of a seamless texture are rounded to where the network's stride fits.
    """
    sides = [options.size]
    smallest = options.smallest_size or options.size
    while (side := round(options.size / 2 ** (len(sides) / 2))) >= smallest:
        sides.insert(0, max(1, round(side / _STRIDE)) * _STRIDE if options.seamless else side)
    sides = sides[-max(1, options.iterations - 1) :]
    share = options.iterations // (len(sides) + 1)
    first = options.iterations - share * (len(sides) - 1)
    return [Scale(sides[0], first), *(Scale(side, share) for side in sides[1:])]
