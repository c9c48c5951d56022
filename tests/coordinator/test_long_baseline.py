import pytest

from autotune.coordinator.long_baseline import HostLoad, describe_long_baseline
from autotune.coordinator.observer import TrialView
from autotune.events import Finished, Outcome, Scalar
from tests.cli.display.story import view

LONG = "the baseline took 48 of the study's 60 s"
BUSY = f"{LONG}, on a busy machine: load 5.3 on 2 cores; a larger --seconds leaves time for other trials"


def told(
    outcome: Outcome = Outcome.COMPLETE,
    *,
    seconds: float = 48.0,
    budget_seconds: float | None = 60.0,
    load: float | None = 5.3,
    device: str = "cpu",
    is_baseline: bool = True,
    **parameters: Scalar,
) -> str | None:
    return describe_long_baseline(
        TrialView(0, parameters, is_baseline, is_adopted=False, device=device),
        Finished(outcome=outcome),
        study=view(elapsed=seconds + 30.0, raced=30.0, total_seconds=budget_seconds),
        load=HostLoad(load, num_cores=2),
    )


@pytest.mark.parametrize("outcome", [Outcome.COMPLETE, Outcome.PRUNED])
def test_baseline_that_takes_most_of_the_time_on_a_busy_machine_says_why_and_what_helps(outcome: Outcome) -> None:
    threads = ", and a baseline with torch_threads 1 waits less for cores that others use"
    assert told(outcome) == told(outcome, torch_threads=2) == f"{BUSY}{threads}"


def test_threads_are_no_remedy_for_a_baseline_that_has_one_or_trains_elsewhere() -> None:
    assert told(torch_threads=1) == told(device="cuda:0") == BUSY


@pytest.mark.parametrize("load", [None, 2.0])
def test_long_baseline_blames_no_machine_that_is_not_busy(load: float | None) -> None:
    assert told(load=load) == f"{LONG}; a larger --seconds leaves time for other trials"


def test_nothing_is_said_of_a_baseline_that_leaves_time_or_failed_or_is_not_limited_or_of_another_trial() -> None:
    silent = [told(seconds=29.0), told(budget_seconds=None), told(is_baseline=False)]
    assert [*silent, told(Outcome.FAILED), told(Outcome.INTERRUPTED)] == [None] * 5
