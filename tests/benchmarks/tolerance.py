"""How far pictures in tiles are from whole ones, in levels: python -m tests.benchmarks.tolerance

The gradients agree to 1e-5. What a run makes of that difference depends on its optimiser: Adam
divides by what it has seen of a gradient, and a line search takes one more trial or one less.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import ortist
import typer

from tests.conftest import SAMPLES


def main(
    size: Annotated[int, typer.Option(help="Shorter side in pixels.")] = 256,
    iterations: Annotated[int, typer.Option(help="Steps.")] = 60,
    tile: Annotated[int, typer.Option(help="Side of the tiles in pixels.")] = 64,
) -> None:
    """Paint whole and in tiles with each optimiser; print the differences in levels of 255."""
    for optimizer in ("adam", "lbfgs"):
        whole, tiled = (
            ortist.transfer(
                SAMPLES / "harbour.jpg",
                SAMPLES / "swirls.jpg",
                size=size,
                iterations=iterations,
                optimizer=optimizer,
                tile=own,
            ).pixels.astype(int)
            for own in ("off", tile)
        )
        apart = np.abs(whole - tiled)
        print(
            f"{optimizer:<6} at most {apart.max()} levels, {apart.mean():.3f} on average, "
            f"{100 * (apart > 1).mean():.1f} % of values by more than one"
        )


if __name__ == "__main__":
    typer.run(main)
