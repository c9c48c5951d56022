"""What races may take of a study's time."""

from types import SimpleNamespace

import pytest

from autotune.coordinator.observer import Ending
from autotune.coordinator.races.allowance import Allowance, Allowances
from autotune.coordinator.standing import Standing
from autotune.events import Outcome
from autotune.spec.model import Budget, Objective


@pytest.fixture(autouse=True)
def _no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotune.coordinator.standing.time", SimpleNamespace(monotonic=lambda: 1000.0))


def allowances(
    budget: Budget, *, elapsed: float, raced: float = 0.0, num_ended: int = 0, reserved: float = 0.0
) -> Allowances:
    objective = Objective(metric="loss", direction="minimize")
    standing = Standing(name="study", storage="sqlite:///x.db", objectives=[objective], budget=budget)
    ended = [Ending(number, Outcome.COMPLETE, value=0.5, reason=None) for number in range(num_ended)]
    standing.load(ended, num_trials=num_ended + 1, seconds=elapsed)
    standing.speed_seconds, standing.reserved_seconds = raced, reserved
    return Allowances(budget=budget, share=0.1, standing=standing)


@pytest.mark.parametrize(
    ("unfinished", "seconds", "in_turns"),
    [
        (0.0, 100.0, 100.0),
        (60.0, 40.0, 40.0),
        (90.0, 25.0, 25.0),  # a quarter, or it would find nothing
        (500.0, 25.0, 25.0),
    ],
)
def test_first_race_has_what_is_left_of_its_time_and_a_quarter_at_least(
    unfinished: float, seconds: float, in_turns: float
) -> None:
    first = allowances(Budget(seconds=1000), elapsed=5.0).first(unfinished_seconds=unfinished)
    assert first == Allowance(seconds, in_turns)


@pytest.mark.parametrize(("unfinished", "seconds"), [(0.0, 30.0), (10.0, 20.0), (25.0, 12.0)])
def test_first_race_of_a_study_without_a_limit_has_twelve_seconds_at_least(unfinished: float, seconds: float) -> None:
    first = allowances(Budget(trials=30), elapsed=1.0).first(unfinished_seconds=unfinished)
    assert first.seconds == seconds


@pytest.mark.parametrize(
    ("budget", "elapsed", "seconds", "in_turns"),
    [
        (Budget(trials=20, seconds=600), 1.0, 30.0, 30.0),  # it will be over after 20 s
        (Budget(trials=20, seconds=600), 60.0, 60.0, 60.0),  # 600 s come first
        (Budget(trials=20), 20.0, 40.0, 40.0),
        (Budget(trials=20), 1000.0, 120.0, 900.0),
    ],
)
def test_first_race_after_the_baseline_has_a_share_of_what_the_trials_will_take(
    budget: Budget, elapsed: float, seconds: float, in_turns: float
) -> None:
    """It had a share of the budget's seconds, however soon the trials would be over."""
    first = allowances(budget, elapsed=elapsed, num_ended=1).first(unfinished_seconds=0.0)
    assert first.seconds == pytest.approx(seconds, rel=0.01)
    assert first.seconds_in_turns == pytest.approx(in_turns, rel=0.01)


@pytest.mark.parametrize(("reserved", "is_enough"), [(0.0, True), (30.0, False)])
def test_first_race_is_not_most_of_what_is_left_beside_the_confirmation(reserved: float, *, is_enough: bool) -> None:
    """It was held against seconds that are not the search's to spend."""
    first = allowances(Budget(seconds=120), elapsed=80.0, reserved=reserved).first(unfinished_seconds=0.0)
    assert first.is_enough is is_enough


def test_later_race_has_what_is_left_of_the_share() -> None:
    later = allowances(Budget(trials=30), elapsed=500.0, raced=20.0).next()
    assert later.seconds == pytest.approx(30.0, rel=0.1)
    assert later.is_enough
    assert not allowances(Budget(trials=30), elapsed=500.0, raced=60.0).next().is_enough
