import math

import pytest

from autotune.coordinator.observer import Ending
from autotune.coordinator.standing import Standing
from autotune.events import Outcome
from autotune.spec.model import Budget, Objective


def _standing(direction: str = "maximize", *, trials: int | None = 10, seconds: float | None = None) -> Standing:
    objective = Objective.model_validate({"metric": "val_accuracy", "direction": direction})
    budget = Budget(trials=trials, seconds=seconds, epochs=2)
    return Standing(name="study", storage="sqlite:///x.db", objectives=[objective], budget=budget)


@pytest.mark.parametrize(("direction", "best"), [("maximize", 2), ("minimize", 1)])
def test_best_follows_the_direction(direction: str, best: int) -> None:
    standing = _standing(direction)
    for number, value in enumerate([0.5, 0.2, 0.9]):
        standing.count(Ending(number, Outcome.COMPLETE, value))
    assert standing.best_number == best


def test_tie_keeps_the_earlier_trial() -> None:
    standing = _standing()
    assert standing.count(Ending(3, Outcome.COMPLETE, 0.5))
    assert not standing.count(Ending(4, Outcome.COMPLETE, 0.5))
    assert standing.best_number == 3


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.COMPLETE])
def test_only_a_complete_trial_is_best(outcome: Outcome) -> None:
    standing = _standing()
    assert not standing.count(Ending(1, outcome, 0.9))
    assert standing.best_number is None


def test_nan_is_never_best() -> None:
    standing = _standing()
    assert not standing.count(Ending(1, Outcome.COMPLETE, math.nan))


def test_baseline_is_trial_zero() -> None:
    standing = _standing()
    standing.count(Ending(0, Outcome.COMPLETE, 0.4))
    standing.count(Ending(1, Outcome.COMPLETE, 0.6))
    view = standing.view(num_running=0)
    assert (view.baseline_value, view.best_value) == (0.4, 0.6)


def test_trials_of_earlier_starts_count_against_the_budget() -> None:
    standing = _standing(trials=3)
    standing.load([Ending(0, Outcome.COMPLETE, 0.1), Ending(1, Outcome.PRUNED)], num_trials=2, seconds=0)
    assert standing.has_trials_left
    standing.add_trial()
    assert not standing.has_trials_left


def test_seconds_of_earlier_starts_count_against_the_budget() -> None:
    standing = _standing(trials=None, seconds=100)
    standing.load([], num_trials=0, seconds=99)
    assert not standing.is_time_up
    standing.load([], num_trials=0, seconds=100)
    assert standing.is_time_up


def test_course_is_the_best_so_far_after_each_trial_from_the_first_complete_one_on() -> None:
    standing = _standing()
    ends = [(Outcome.FAILED, None), (Outcome.COMPLETE, 0.4), (Outcome.PRUNED, None), (Outcome.COMPLETE, 0.3)]
    standing.load([Ending(number, *end) for number, end in enumerate(ends)], num_trials=4, seconds=0)
    standing.count(Ending(4, Outcome.COMPLETE, 0.6))
    assert standing.view(num_running=0).course == (0.4, 0.4, 0.4, 0.6)


def test_last_pruned_and_failed_trials_are_told_with_their_reasons() -> None:
    standing = _standing()
    for number, outcome in enumerate([Outcome.PRUNED, Outcome.FAILED, Outcome.PRUNED, Outcome.DIVERGED]):
        standing.count(Ending(number, outcome, reason=f"reason {number}"))
    view = standing.view(num_running=0)
    assert view.last_pruned == Ending(2, Outcome.PRUNED, reason="reason 2")
    assert view.last_failed == Ending(3, Outcome.DIVERGED, reason="reason 3")
