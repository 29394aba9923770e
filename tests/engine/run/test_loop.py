"""Runs: what a user gets from Python, on small pictures and the shipped model."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from ortist.arrays import Array
from ortist.errors import OptionError, PictureError, ProviderError
from ortist.network.bundle import Model
from ortist.objective.objective import Objective
from ortist.objective.sweeper import Sweeper
from ortist.objective.targets import ByteBudget, ContentFeatures, Targets
from ortist.objective.weights import Weights
from ortist.options.fields import Options
from ortist.run.optimizers import AdamState, Point
from ortist.run.stepping import Stepper
from ortist.run.tuning import Scale, Tuning, plan_scales, tuned
from ortist.run.view import View
from ortist.style.losses import STYLE_LOSSES
from PIL import Image

from tests.conftest import kept, small_pictures

CONTENT, STYLE = small_pictures()
QUICK: dict[str, Any] = {"size": 48, "iterations": 6, "provider": "cpu"}


def test_the_picture_comes_out_painted() -> None:
    result = kept.transfer(CONTENT, STYLE, size=48, iterations=40, averaging=0.8)
    assert result.pixels.shape == CONTENT.shape
    assert result.pixels.dtype == np.uint8
    assert result.image.size == (64, 48)
    assert result.stopped == "iterations"
    assert result.iterations == 40
    assert len(result.history) == 41
    assert result.initial.content == 0
    assert result.final.style < result.initial.style / 3
    assert result.final.total < result.initial.total / 2
    assert result.provider.startswith(("CPU", "CUDA"))
    moved = np.abs(result.pixels.astype(int) - CONTENT).mean()
    assert 3 < moved < 80  # neither the photo as it was nor something else


def test_paths_images_and_arrays_give_the_same_picture(tmp_path: Path) -> None:
    Image.fromarray(CONTENT).save(tmp_path / "content.png")
    Image.fromarray(STYLE).save(tmp_path / "style.png")
    by_array = kept.transfer(CONTENT, STYLE, **QUICK)
    by_image = kept.transfer(Image.fromarray(CONTENT), Image.fromarray(STYLE), **QUICK)
    by_path = kept.transfer(str(tmp_path / "content.png"), tmp_path / "style.png", **QUICK)
    np.testing.assert_array_equal(by_array.pixels, by_image.pixels)
    np.testing.assert_array_equal(by_array.pixels, by_path.pixels)
    by_path.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as saved:
        np.testing.assert_array_equal(saved, by_path.pixels)


def test_every_step_is_reported() -> None:
    seen: list[ortist.Progress] = []
    result = kept.transfer(CONTENT, STYLE, on_progress=seen.append, **QUICK)
    assert [progress.iteration for progress in seen] == list(range(7))
    assert {progress.iterations for progress in seen} == {6}
    assert tuple(progress.losses for progress in seen) == result.history
    assert seen[-1].seconds == result.seconds
    seconds = [progress.seconds for progress in seen]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("size", [60, 136])
def test_the_tiles_of_a_picture_go_to_any_executor(size: int) -> None:
    """To the same bytes as by this process; one tile or several."""
    content, style = small_pictures()
    given: dict[str, Any] = {"size": size, "iterations": 3, "smallest_size": None, "tile": 96}
    given |= {"threads": 1, "provider": "cpu"}
    expected = kept.transfer(content, style, **given)
    with ThreadPoolExecutor(2) as executor:
        found = kept.transfer(content, style, executor=executor, **given)
        np.testing.assert_array_equal(found.pixels, expected.pixels)
        assert found.history == expected.history
        whole = kept.iterate(content, style, executor=executor, **{**given, "tile": "auto"})
        assert whole.options.tile == 512
        with pytest.raises(OptionError, match=r"share a picture's tiles, and tile is 'off'"):
            kept.transfer(content, style, executor=executor, tile="off")


def test_a_callback_or_a_broken_loop_cancels() -> None:
    result = kept.transfer(CONTENT, STYLE, on_progress=lambda p: p.iteration < 2, **QUICK)
    assert (result.iterations, result.stopped) == (2, "cancelled")
    run = kept.iterate(CONTENT, STYLE, **QUICK)
    with pytest.raises(OptionError, match="no result before"):
        run.result()
    for progress in run:
        if progress.iteration == 3:
            break
    assert run.result().iterations == 3
    np.testing.assert_array_equal(run.result().pixels, run.pixels())


@pytest.mark.parametrize("masks", ["sky.png", ["sky.png"], [("a.png", None, None)], None, CONTENT])
def test_masks_that_are_no_pairs_are_refused(masks: Any) -> None:
    with pytest.raises(OptionError, match=r"masks should be a list of pairs, not .*; give \[\("):
        kept.transfer(CONTENT, STYLE, masks=masks, **QUICK)


def test_a_snapshot_that_was_not_kept_is_named(tmp_path: Path) -> None:
    result = kept.transfer(CONTENT, STYLE, snapshots=(0, 2), **QUICK)
    with pytest.raises(OptionError, match=r"no snapshot of iteration 1, there are 0, 2; ask"):
        result.save(tmp_path / "x.png", snapshot=1)


def test_another_thread_cancels_within_a_step() -> None:
    run = kept.iterate(CONTENT, STYLE, size=32, smallest_size="none", iterations=1_000_000)
    next(run)
    painter = threading.Thread(target=lambda: [None for _ in run])
    painter.start()
    while run.iteration < 3:
        time.sleep(0.001)
    run.cancel()
    before = run.iteration
    painter.join(60)
    assert not painter.is_alive()
    assert run.result().iterations - before in (0, 1)
    assert run.result().stopped == "cancelled"
    assert list(run) == []


@pytest.mark.parametrize("options", [{}, {"style_loss": "w2", "optimizer": "lbfgs"}])
def test_a_result_from_another_thread_comes_between_two_steps(options: dict[str, Any]) -> None:
    """It is that of some iteration, with its losses; and the run goes on as if nothing had been."""
    given: dict[str, Any] = {"size": 40, "smallest_size": 24, "iterations": 24, **options}
    run, alone = (kept.iterate(CONTENT, STYLE, **given) for _ in range(2))
    whole = {p.iteration: alone.result() for p in alone if p.iteration % 2 == 0 or alone.finished}
    next(run)
    with ThreadPoolExecutor(1) as executor:
        painter = executor.submit(lambda: list(run))
        found = [run.result()]
        while not painter.done():
            found.append(run.result())
        painter.result(60)
    assert len({result.iterations for result in found}) > 3
    for result in found:
        if (expected := whole.get(result.iterations)) is not None:
            assert (result.initial, result.final) == (expected.initial, expected.final)
            np.testing.assert_array_equal(result.pixels, expected.pixels)
    assert run.result().history == alone.result().history


def test_lbfgs_needs_fewer_steps() -> None:
    plain: dict[str, Any] = {"size": 48, "iterations": 25, "jitter": 1, "averaging": 0}
    adam = kept.transfer(CONTENT, STYLE, **plain)
    lbfgs = kept.transfer(CONTENT, STYLE, optimizer="lbfgs", **plain)
    assert lbfgs.final.total < adam.final.total
    totals = [losses.total for losses in lbfgs.history[1:]]
    assert totals == sorted(totals, reverse=True)


def test_lbfgs_stops_where_nothing_is_left_to_gain() -> None:
    flat = np.full((48, 48, 3), 128, np.uint8)
    result = kept.invert(flat, size=48, optimizer="lbfgs", init="content", iterations=50)
    assert result.stopped == "converged"
    assert result.iterations < 5
    with pytest.raises(OptionError, match="jitter 4 changes the loss"):
        kept.transfer(CONTENT, STYLE, optimizer="lbfgs", jitter=4)


def test_zero_iterations_evaluate_at_full_size() -> None:
    result = kept.transfer(CONTENT, STYLE, size=48, smallest_size=16, iterations=0)
    assert result.initial == result.final
    np.testing.assert_array_equal(result.pixels, CONTENT)


def test_snapshots_are_the_pictures_on_the_way() -> None:
    whole = kept.transfer(CONTENT, STYLE, snapshots=(0, 3, 6), smallest_size="none", **QUICK)
    assert list(whole.snapshots) == [0, 3, 6]
    np.testing.assert_array_equal(whole.snapshots[0].pixels, CONTENT)
    np.testing.assert_array_equal(whole.snapshots[6].pixels, whole.pixels)
    assert not np.array_equal(whole.snapshots[3].pixels, whole.pixels)


def test_seeds_repeat_and_differ() -> None:
    first, again, other = (
        kept.transfer(CONTENT, STYLE, init="noise", seed=seed, **QUICK).pixels for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_gray_is_the_mean_of_the_training_images(procedural: Model) -> None:
    result = kept.transfer(CONTENT, STYLE, init="gray", size=48, iterations=0)
    expected = np.round(np.array(procedural.mean) * 255)
    np.testing.assert_array_equal(result.pixels.reshape(-1, 3), np.tile(expected, (64 * 48, 1)))


def test_inversion_finds_the_content_again() -> None:
    result = kept.invert(CONTENT, size=48, iterations=60, averaging=0.8)
    assert result.initial.style == result.final.style == 0
    assert result.final.content < result.initial.content / 5


def test_texture_is_square_and_has_the_styles_statistics() -> None:
    result = kept.texture(STYLE, size=48, iterations=60, averaging=0.8)
    assert result.pixels.shape == (48, 48, 3)
    assert result.final.content == 0
    assert result.final.style < result.initial.style / 4


def test_more_strength_leaves_less_content() -> None:
    gentle, strong = (
        kept.transfer(CONTENT, STYLE, size=48, iterations=30, strength=s) for s in (0.2, 20)
    )
    moved = [np.abs(r.pixels.astype(int) - CONTENT).mean() for r in (gentle, strong)]
    assert moved[0] < moved[1]


def test_given_weights_multiply_the_losses() -> None:
    def initial(**given: Any) -> ortist.Losses:
        return kept.transfer(CONTENT, STYLE, size=48, iterations=0, init="noise", **given).initial

    once = initial(style_layers="1:10,fire3:5", content_weight=1, tv_weight=1)
    twice = initial(style_layers={1: 20, 4: 10}, content_weight=2, tv_weight=2)
    assert set(once.style_by_layer) == {1, 4}
    for tap in (1, 4):
        assert twice.style_by_layer[tap] == pytest.approx(2 * once.style_by_layer[tap], rel=1e-5)
    assert twice.content == pytest.approx(2 * once.content, rel=1e-5)
    assert twice.tv == pytest.approx(2 * once.tv, rel=1e-5)
    assert set(once.content_by_layer) == {3}
    assert once.style == sum(once.style_by_layer.values())
    assert once.total == once.content + once.style + once.tv


def test_every_exported_tap_can_be_used_for_style_and_content() -> None:
    for tap in range(1, 8):
        result = kept.transfer(CONTENT, STYLE, style_layers=tap, content_layers=tap, **QUICK)
        assert set(result.initial.style_by_layer) == {tap}
        assert result.final.content > 0


def test_the_gradient_is_that_of_the_losses(procedural: Model) -> None:
    """Through the engine, in float32: <v, gradient> against central differences of the total."""
    objective = Objective(Sweeper(procedural, "cpu"))
    rng = np.random.default_rng(0)
    image, other = rng.standard_normal((2, 1, 3, 33, 41), np.float32)
    losses = {
        tap: [STYLE_LOSSES["gram"](region.statistics()) for region in regions]
        for tap, regions in objective.moments(other, [1, 4]).items()
    }
    targets = Targets(losses, ContentFeatures(other, (3,), ByteBudget(2**20)))
    weights = Weights({3: 0.1}, {1: 1.0, 4: 2.0}, 0.01)
    _, gradient = objective(image, targets, weights)
    # float32 sums leave 1e-7 of noise in the total, a step of 1e-2 some curvature: 1 % is what
    # this can show; 1e-5 is shown against autograd (objective/test_autograd.py).
    step = np.float32(1e-2)
    for _ in range(3):
        v = gradient / np.linalg.norm(gradient) + rng.standard_normal(image.shape, np.float32) / 99
        ahead, behind = (
            objective(image + s * step * v, targets, weights)[0].total for s in (1, -1)
        )
        expected = (ahead - behind) / (2 * step)
        assert float((v * gradient).sum()) == pytest.approx(expected, rel=1e-2)


def test_the_callers_arrays_stay_as_they_are() -> None:
    content, style = CONTENT.copy(), STYLE.copy()
    kept.transfer(content, style, **QUICK)
    np.testing.assert_array_equal(content, CONTENT)
    np.testing.assert_array_equal(style, STYLE)


def test_scales_share_the_iterations() -> None:
    scales = plan_scales(Options(size=512, smallest_size=128, iterations=300))
    assert [scale.side for scale in scales] == [128, 181, 256, 362, 512]
    assert [scale.iterations for scale in scales] == [100, 50, 50, 50, 50]
    assert plan_scales(Options(size=100).settled(True)) == [Scale(100, 3)]
    assert plan_scales(Options(size=100).settled(False)) == [Scale(100, 300)]
    assert plan_scales(Options(size=512, smallest_size="none").settled(False)) == [Scale(512, 300)]
    assert plan_scales(Options(iterations=0).settled(False)) == [Scale(512, 0)]
    for iterations in range(1, 20):
        scales = plan_scales(Options(iterations=iterations).settled(False))
        assert sum(scale.iterations for scale in scales) == iterations
        assert min(scale.iterations for scale in scales) >= 1
        assert scales[-1].side == 512


def test_a_pyramid_ends_at_the_size_asked_for() -> None:
    run = kept.iterate(CONTENT, STYLE, size=48, smallest_size=16, iterations=9)
    scales = [progress.scale for progress in run if run.pixels().shape == CONTENT.shape]
    assert len(scales) == 10
    assert scales[0] < scales[-1] == 48
    assert scales == sorted(scales)
    assert run.result().iterations == 9


def test_pictures_of_early_scales_have_the_full_size() -> None:
    run = kept.iterate(CONTENT, STYLE, size=48, smallest_size=24, iterations=9, snapshots=(2,))
    for progress in run:
        if progress.iteration == 3:
            break
    assert progress.scale == 24
    result = run.result()
    assert result.stopped == "cancelled"
    assert result.pixels.shape == result.snapshots[2].pixels.shape == CONTENT.shape
    np.testing.assert_array_equal(run.pixels(), result.pixels)


def test_a_time_limit_ends_at_full_size_in_time() -> None:
    endless: dict[str, Any] = {"size": 48, "smallest_size": 24, "iterations": 1_000_000}
    result = kept.transfer(CONTENT, STYLE, **endless, time_limit=6)
    assert result.stopped == "time limit"
    assert result.steps[-1].scale == 48
    assert 0.5 < result.seconds < 12  # a step takes some milliseconds, on a busy machine more
    assert kept.transfer(CONTENT, STYLE, **QUICK, time_limit=1000).stopped == "iterations"


@pytest.mark.parametrize("iterations", [1, 2, 3, 4, 5])
def test_few_iterations_end_at_full_size(iterations: int) -> None:
    run = kept.iterate(CONTENT, STYLE, size=48, smallest_size=16, iterations=iterations)
    assert [progress.iteration for progress in run] == list(range(iterations + 1))
    assert run.result().pixels.shape == CONTENT.shape


def test_small_styles_at_small_scales_stay_large_enough() -> None:
    result = kept.transfer(CONTENT, STYLE, size=48, smallest_size=16, style_size=16, iterations=6)
    assert result.iterations == 6
    # Windows are as large as the picture, whatever the jitter.
    kept.transfer(CONTENT, STYLE, size=48, smallest_size=16, jitter=12, iterations=6)
    for quality in ("paper", "standard"):
        with pytest.raises(OptionError, match=r"the style image would have 8 x 8 .* 9 each way"):
            kept.transfer(CONTENT, STYLE[:8, :8], size=48, iterations=1, quality=quality)


def test_an_interruption_between_scales_leaves_a_whole_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = kept.iterate(CONTENT, STYLE, size=48, smallest_size=24, iterations=9)
    for progress in run:
        if progress.iteration == 5:
            break
    before = run.pixels()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(View, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run)
    np.testing.assert_array_equal(run.result().pixels, run.pixels())
    assert run.pixels().shape == before.shape


def test_losses_before_and_after_are_of_one_scale() -> None:
    """The start and the end of a pyramid, evaluated with the weights that the result names."""
    result = kept.transfer(CONTENT, STYLE, size=48, smallest_size=16, iterations=12)
    alone = kept.transfer(CONTENT, STYLE, size=48, smallest_size="none", iterations=0)
    for before, start in zip(
        (result.initial.content_by_layer, result.initial.style_by_layer),
        (alone.initial.content_by_layer, alone.initial.style_by_layer),
        strict=True,
    ):
        assert before == pytest.approx(start, rel=1e-5)  # one of them without its gradient
    assert result.weights == alone.weights


def test_jitter_shifts_the_window_and_averaging_smooths() -> None:
    plain: dict[str, Any] = {"size": 48, "smallest_size": None, "iterations": 8}
    pictures = [
        kept.transfer(CONTENT, STYLE, jitter=jitter, averaging=averaging, **plain).pixels
        for jitter, averaging in ((1, 0), (4, 0), (1, 0.9))
    ]
    assert not np.array_equal(pictures[0], pictures[1])
    moved = [np.abs(pixels.astype(int) - CONTENT).mean() for pixels in pictures]
    assert moved[2] < moved[0]  # the average lags behind the last iterate


def test_pixels_stay_in_the_box_until_the_free_iterations(procedural: Model) -> None:
    box: dict[str, Any] = {"size": 48, "smallest_size": None, "jitter": 1, "averaging": 0}
    box |= {"bounds": "cs231n", "learning_rate": 3.0, "iterations": 4}
    mean, std = np.array(procedural.mean), np.array(procedural.std)
    top = np.round((mean + 1.5 * std).clip(0, 1) * 255)
    bounded = kept.transfer(CONTENT, STYLE, **box).pixels
    assert (bounded.reshape(-1, 3).max(0) <= top).all()
    free = kept.transfer(CONTENT, STYLE, free_iterations=2, **box).pixels
    assert (free.reshape(-1, 3).max(0) > top).any()


def test_rescaling_reaches_black_and_white() -> None:
    stretched = kept.transfer(CONTENT, STYLE, rescale=True, **QUICK).pixels
    assert (stretched.min(), stretched.max()) == (0, 255)


def test_adam_keeps_its_count_across_scales() -> None:
    given: dict[str, Any] = {"size": 48, "smallest_size": 24, "iterations": 9}
    for final, steps in ((0, 9), (None, 3)):  # the model's last phase, three tenths, begins anew
        run = kept.iterate(CONTENT, STYLE, final_iterations=final, **given)
        list(run)
        assert run.state is not None
        assert isinstance(run.state.optimizer, AdamState)
        assert run.state.optimizer.steps == steps


def test_the_last_phase_is_the_models_own_or_the_one_given(procedural: Model) -> None:
    recipe = dataclasses.replace(
        procedural.recipe, learning_rate=0.2, jitter=6, final_share=0.25, final_rate=0.5
    )
    plain = Options(iterations=200).settled(False)
    assert tuned(plain, recipe) == Tuning(6, 0.2, 50, 0.1, 0.97)
    given = Options(learning_rate=0.08, jitter=2, final_iterations=3, iterations=200).settled(False)
    assert tuned(given, recipe) == Tuning(2, 0.08, 3, 0.04, 0.97)
    notebook = Options.of("cs231n-starry-night")
    assert tuned(notebook, recipe) == Tuning(1, 3.0, 20, 0.1, 0.0)
    of_lbfgs = tuned(Options(optimizer="lbfgs").settled(False), recipe)
    assert (of_lbfgs.jitter, of_lbfgs.averaging) == (1, 0.0)


def test_inversion_and_texture_start_from_noise_with_any_preset() -> None:
    preset: dict[str, Any] = {"preset": "cs231n-starry-night", "iterations": 0, "size": 48}
    assert kept.invert(CONTENT, **preset).initial.content > 0
    assert kept.texture(STYLE, **preset).pixels.shape == (48, 48, 3)


def test_a_style_is_never_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    small = STYLE[:24, :24]
    large = kept.transfer(CONTENT, small, size=48, style_size=400, iterations=0)
    exact = kept.transfer(CONTENT, small, size=48, style_size=24, iterations=0)
    assert large.initial == exact.initial


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"style_layers": 9}, ortist.ModelError, "not exported with the layer 9"),
        ({"style_layers": 99}, OptionError, "no layer 99"),
        ({"threads": 10_000}, OptionError, "10000 threads are more than the"),
        ({"max_pixels": 100}, PictureError, "more than the limit of 100"),
        ({"size": 60_000}, OptionError, "give --size 12288 or less"),
        ({"size": 10_000}, OptionError, "limit of 89478485; give a smaller --size"),
        ({"model": "nowhere"}, ortist.ModelError, "no model 'nowhere'"),
    ],
)
def test_what_cannot_be_is_said(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        kept.transfer(CONTENT, STYLE, **{**QUICK, **given})


def test_options_in_another_form_are_refused() -> None:
    options: Any = {"size": 48}
    with pytest.raises(OptionError, match="not dict; single options are keywords"):
        kept.transfer(CONTENT, STYLE, options)


def test_a_run_that_diverges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Objective.__call__

    def broken(self: Objective, image: Array, *more: Any) -> tuple[ortist.Losses, Array]:
        losses, gradient = call(self, image, *more)
        return dataclasses.replace(losses, tv=float("nan")), gradient

    monkeypatch.setattr(Objective, "__call__", broken)
    with pytest.raises(OptionError, match=r"the loss became nan at iteration 0; lower") as caught:
        kept.transfer(CONTENT, STYLE, **QUICK)
    assert isinstance(caught.value, ortist.DivergedError)
    assert caught.value.result is None


def test_a_run_that_diverges_later_keeps_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate, count = Stepper.evaluate, itertools.count(1)

    def broken(self: Stepper, view: View, values: Array) -> Point:
        point = evaluate(self, view, values)
        return point._replace(loss=float("inf")) if next(count) == 4 else point

    monkeypatch.setattr(Stepper, "evaluate", broken)
    with pytest.raises(ortist.DivergedError, match="became inf at iteration 4; lower") as caught:
        kept.transfer(CONTENT, STYLE, **QUICK)
    found = caught.value.result
    monkeypatch.undo()
    assert found is not None
    assert (found.stopped, found.iterations) == ("diverged", 3)
    whole = kept.transfer(CONTENT, STYLE, **QUICK)
    assert found.history == whole.history[:4]


def test_a_run_that_goes_on_from_before_it_diverged_has_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = kept.iterate(CONTENT, STYLE, **QUICK)
    next(run)
    next(run)
    run.save_checkpoint(tmp_path / "run.ckpt")
    evaluate = Stepper.evaluate

    def broken(self: Stepper, view: View, values: Array) -> Point:
        return evaluate(self, view, values)._replace(loss=float("inf"))

    monkeypatch.setattr(Stepper, "evaluate", broken)
    with pytest.raises(ortist.DivergedError):
        next(run)
    monkeypatch.undo()
    assert run.result().stopped == "diverged"
    run.resume(tmp_path / "run.ckpt")
    next(run)
    assert run.result().stopped == "cancelled"


def test_a_provider_that_was_named_is_never_replaced() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        result = kept.transfer(CONTENT, STYLE, **{**QUICK, "provider": "cuda"})
        assert result.provider == "CUDAExecutionProvider"
    else:
        with pytest.raises(ProviderError, match="no provider 'cuda'"):
            kept.transfer(CONTENT, STYLE, **{**QUICK, "provider": "cuda"})


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(OptionError, match="style image would have 9 x 8 pixels"):
        kept.transfer(CONTENT, STYLE[:8, :9], **QUICK)


def test_nothing_to_paint_is_refused() -> None:
    with pytest.raises(OptionError, match="neither a content image nor a style image"):
        kept.iterate(None, None)
    with pytest.raises(OptionError, match="no content image to start from"):
        kept.texture(STYLE, size=48, init="content")
    with pytest.raises(OptionError, match="but not both"):
        kept.transfer(CONTENT, STYLE, Options(), size=48)


def test_a_black_picture_and_a_white_style() -> None:
    """Zero features and zero Gram matrices must not divide by nothing."""
    black = np.zeros((40, 40, 3), np.uint8)
    result = kept.transfer(black, black + 255, size=40, iterations=3)
    assert np.isfinite(result.final.total)


@pytest.mark.parametrize("options", [{}, {"tile": 256}, {"optimizer": "lbfgs"}])
def test_cancelling_does_not_wait_for_a_step(options: dict[str, Any]) -> None:
    """Nor does the result look at the picture again; the state is that of the last whole step."""
    big = np.random.default_rng(0).integers(0, 256, (768, 768, 3), np.uint8)
    run = kept.iterate(big, STYLE, size=768, smallest_size="none", threads=1, **options)
    next(run)
    next(run)
    before = run.state
    waited = threading.Timer(0.2, run.cancel)
    began = time.perf_counter()
    waited.start()
    assert list(run) == []
    assert time.perf_counter() - began < 0.2 + 0.5
    began = time.perf_counter()
    result = run.result()
    assert time.perf_counter() - began < 0.5
    assert run.state is before
    assert (result.iterations, result.stopped) == (1, "cancelled")
    assert np.isfinite(result.final.total)
