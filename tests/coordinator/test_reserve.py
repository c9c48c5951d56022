"""How much of a study's time its search leaves to the confirmation of its winner."""

import pytest

from autotune.coordinator.observer import Ending
from autotune.coordinator.reserve import Reserve
from autotune.coordinator.standing import Standing
from autotune.events import EpochReport, Outcome
from autotune.spec.model import Budget, Objective


def reserved(
    *, limit: float | None, seconds: float, repeats: int = 3, baseline: float = 0.8, outcome: Outcome = Outcome.COMPLETE
) -> float:
    """After a baseline and a trial of value 0.9, each of which trained for so long."""
    objective = Objective.model_validate({"metric": "val_accuracy", "direction": "maximize"})
    budget = Budget(trials=10, seconds=limit, epochs=1)
    standing = Standing(name="study", storage="sqlite:///x.db", objectives=[objective], budget=budget)
    reserve = Reserve(repeats=repeats, limit=limit, standing=standing)
    for number, value, how in ((0, baseline, outcome), (1, 0.9, Outcome.COMPLETE)):
        standing.count(Ending(number, how, value if how is Outcome.COMPLETE else None))
        reserve.learn(number, [report(seconds)], outcome=how)
    return standing.reserved_seconds


def report(seconds: float) -> EpochReport:
    return EpochReport(
        epoch=1,
        step=1,
        metrics={},
        samples=1,
        seconds=seconds,
        samples_per_second=1.0,
        data_wait_share=0.0,
        peak_memory_bytes=1,
        at=0.0,
    )


def test_each_training_is_reserved_as_often_as_it_is_repeated() -> None:
    assert reserved(limit=100.0, seconds=2.0) == pytest.approx(3 * 1.2 * (2 + 2))


def test_no_more_than_a_third_is_reserved_for_the_repeats_beyond_the_least() -> None:
    assert reserved(limit=60.0, seconds=2.0, repeats=10) == pytest.approx(20.0)


def test_nothing_is_reserved_where_not_even_the_least_fits() -> None:
    assert reserved(limit=60.0, seconds=5.0) == 0


def test_baseline_that_never_came_to_its_target_is_trained_again_too() -> None:
    assert reserved(limit=100.0, seconds=2.0, outcome=Outcome.PRUNED) == pytest.approx(3 * 1.2 * (2 + 2))


def test_nothing_is_reserved_to_compare_with_a_baseline_that_failed() -> None:
    assert reserved(limit=100.0, seconds=2.0, outcome=Outcome.FAILED) == 0


def test_nothing_is_reserved_while_the_baseline_is_the_best() -> None:
    assert reserved(limit=100.0, seconds=2.0, baseline=0.95) == 0


@pytest.mark.parametrize("unwanted", [{"limit": None}, {"limit": 100.0, "repeats": 0}])
def test_nothing_is_reserved_without_a_time_limit_or_a_confirmation(unwanted: dict[str, float | int | None]) -> None:
    assert reserved(seconds=2.0, **unwanted) == 0  # type: ignore[arg-type]
