"""Whether fewer digits may be kept, and how that is said."""

import math

import pytest

from autotune.speed.racing.stages.precision import LossCurve, judge_losses

FULL = [LossCurve(0, (1.0, 0.8)), LossCurve(0, (1.1, 0.9)), LossCurve(0, (0.9, 0.7))]


@pytest.mark.parametrize(
    "losses", [(), (1.0, math.nan)], ids=["a loop that calls loss.backward()", "a loss that is NaN"]
)
def test_losses_that_say_nothing_are_told_in_words_and_keep_all_digits(losses: tuple[float, ...]) -> None:
    judgement = judge_losses(FULL, [LossCurve(0, losses)] * 3)
    assert not judgement.is_within_noise
    assert "no loss came through trial.backward" in judgement.words
    assert "nan" not in judgement.words


@pytest.mark.parametrize(("shift", "is_within"), [(0.15, True), (-0.15, True), (0.5, False), (-0.5, False)])
def test_loss_may_differ_by_full_precisions_own_noise_either_way(shift: float, *, is_within: bool) -> None:
    """One that fell far below was kept, and said to be within a noise that it was outside of."""
    reduced = [LossCurve(0, tuple(loss + shift for loss in curve.losses)) for curve in FULL]
    judgement = judge_losses(FULL, reduced)
    assert judgement.is_within_noise is is_within
    assert judgement.words == (
        f"its loss differs by {shift:+.2g}, {'within' if is_within else 'outside'} full precision's own noise of 0.2"
    )
