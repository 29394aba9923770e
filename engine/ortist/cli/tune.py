"""``ortist models tune``: a model's recipe by measurement.

The docstring of the command is what ``--help`` shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from ortist_models import SHIPPED

from ..errors import OptionError
from ..network.bundle import find_model, write_recipe

if TYPE_CHECKING:
    from ..pictures.raster import Raster

__all__ = ["tune"]

_STYLES = ("shards", "swirls")
"""The built-in styles that drawn photos are painted in, where none is given."""
_MOST_PIXELS = 10**9


def tune(
    name: Annotated[str, typer.Argument(help="A model's name, or the path of its folder.")],
    content: Annotated[
        list[Path] | None,
        typer.Option(help="A pair's photo; repeatable. Without any, scenes drawn by a program."),
    ] = None,
    style: Annotated[
        list[Path] | None, typer.Option(help="That pair's painting; repeatable.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="The model by whose features pictures are compared.", show_default="auto"
        ),
    ] = None,
    size: Annotated[int, typer.Option(help="Shorter side in pixels.", min=64)] = 128,
    iterations: Annotated[int, typer.Option(help="Steps a picture.", min=10)] = 80,
    minutes: Annotated[float, typer.Option(help="Time for all trials.", min=0.01)] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
) -> None:
    """Measure which recipe gives the best pictures, and write it into the model's manifest."""
    from ..jobs.tuning import CONTENT, Tuner

    model = find_model(name)
    if model.folder.parent == SHIPPED and not dry_run:
        raise OptionError(
            f"{model.name} is the package's own and stays as it is; give --dry-run, or a copy of "
            "its folder."
        )
    pairs = _pairs(content or [], style or [], size)
    eyes = find_model(judge)
    print(f"{len(pairs)} pairs at {size} pixels, judged by {eyes.name}, for {minutes:g} min")
    tuner = Tuner(model, eyes, pairs, size, iterations, lambda trial: print(trial, flush=True))
    best = tuner.tune(60 * minutes)
    if CONTENT in tuner.untried:
        raise OptionError(
            f"{minutes:g} minutes are too few: a trial took {best.seconds:.1f} s, and not all "
            "content layers were tried; nothing is written: give more --minutes, or fewer "
            "--iterations."
        )
    if tuner.untried:
        print(f"no time for all of: {', '.join(tuner.untried)}; more --minutes may find better")
    print(f"best: {best.what}, style removed {best.style_removed:.3f}, grid {best.grid:.2f}")
    recipe = best.recipe
    shares = ", ".join(f"{model.tap(t).name} {s:g}" for t, s in recipe.style_shares.items())
    kept = ", ".join(model.tap(tap).name for tap in recipe.content_layers)
    print(f"style {shares}; content {kept} {recipe.content_share:g}; tv {recipe.tv_share:g}")
    print(f"steps of {recipe.learning_rate:g}, window {recipe.jitter}", end="")
    print(f", last phase {recipe.final_share:g} at {recipe.final_rate:g}")
    if not dry_run:
        write_recipe(model, recipe)
        print(f"written into {model.folder}")


def _pairs(contents: list[Path], styles: list[Path], size: int) -> list[tuple[Raster, Raster]]:
    """The pairs given, or drawn ones; raises OptionError and PictureError."""
    from ..jobs.scenes import draw_scene
    from ..pictures.raster import Raster
    from ..pictures.reading import load_picture
    from ..style.named import BUILT_IN

    if len(contents) != len(styles):
        raise OptionError(
            f"there are {len(contents)} photos and {len(styles)} paintings; give as many "
            "--content as --style."
        )
    if contents:
        return [
            (load_picture(photo, _MOST_PIXELS), load_picture(painting, _MOST_PIXELS))
            for photo, painting in zip(contents, styles, strict=True)
        ]
    paintings = [BUILT_IN[name].path for name in _STYLES]
    scenes = [Raster(draw_scene(seed, max(192, size))) for seed in range(len(_STYLES))]
    return [
        (scene, load_picture(painting, _MOST_PIXELS))
        for scene, painting in zip(scenes, paintings, strict=True)
    ]
