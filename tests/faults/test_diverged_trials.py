"""A loss or metric that is NaN or infinite: the trial is diverged, never the best, and the search goes on unharmed."""

import math
from dataclasses import replace

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from autotune.events import Outcome, Scalar
from autotune.search.study import Search
from autotune.spec.model import Choice
from autotune.spec.policies import PRUNERS, SAMPLERS
from tests.search.conftest import OpenStorage, database, empty_database, open_again, storage
from tests.search.spaces import conditional_space, is_legal, plan_for, score

__all__ = ["database", "empty_database", "open_again", "storage"]

NOT_FINITE = (math.nan, math.inf, -math.inf)
OPTIONS: dict[str, dict[str, Scalar]] = {
    "tpe": {"startup_trials": 4},
    "gp": {"startup_trials": 4},
    "cmaes": {"population": 4},
    "nsgaii": {"population": 4},
    "threshold": {"lower": 0.05},
}
NUM_TRIALS = 18


def make_search(storage: RDBStorage, *, sampler: str = "random", pruner: str = "none") -> Search:
    space = conditional_space(is_finite=sampler == "grid")
    plan = plan_for(space, sampler=sampler, options=OPTIONS.get(sampler))
    plan = replace(plan, pruner=Choice(name=pruner, options=OPTIONS.get(pruner, {})))
    return Search.create("study", storage=storage, plan=plan)


def run_every_other_to_divergence(search: Search, *, is_finite_grid: bool) -> None:
    """Half of those are told as complete with such a value, as somebody's own loop may."""
    space = conditional_space(is_finite=is_finite_grid)
    for number in range(NUM_TRIALS):
        proposal = search.ask()
        assert proposal is not None
        assert number == 0 or is_legal(space, proposal.parameters)
        numbers = [value for value in proposal.parameters.values() if isinstance(value, float)]
        assert all(map(math.isfinite, numbers))
        search.report(number, step=1, value=score(proposal.parameters) / 2)
        bad = NOT_FINITE[number // 2 % 3]
        if number % 2 == 0:
            search.tell(number, outcome=Outcome.COMPLETE, values=(score(proposal.parameters),))
            continue
        search.report(number, step=2, value=bad)
        is_told = number % 4 == 1
        search.tell(
            number,
            outcome=Outcome.DIVERGED if is_told else Outcome.COMPLETE,
            values=None if is_told else (bad,),
            reason=f"epoch 2: val_accuracy is {bad}",
        )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sampler_goes_on_after_trials_that_diverged(sampler: str, open_again: OpenStorage) -> None:
    storage = open_again()
    search = make_search(storage, sampler=sampler)
    run_every_other_to_divergence(search, is_finite_grid=sampler == "grid")

    trials = storage.get_all_trials(search.study_id)
    diverged = [trial for trial in trials if trial.number % 2 == 1]
    assert [trial.state for trial in diverged] == [TrialState.PRUNED] * (NUM_TRIALS // 2)
    assert {trial.user_attrs["outcome"] for trial in diverged} == {"diverged"}
    assert all(math.isfinite(value) for trial in trials for value in trial.intermediate_values.values())
    assert storage.get_best_trial(search.study_id).number % 2 == 0


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_trials_after_one_that_diverged_are_not_measured_against_it(
    pruner: str, value: float, storage: RDBStorage
) -> None:
    """Infinity as the best of all would end every trial that comes."""
    search = make_search(storage, pruner=pruner)
    run_to_divergence(search, value=value, count=6)
    last = search.ask()
    assert last is not None
    for step in range(1, 9):
        search.report(last.number, step=step, value=1.0)
        assert not search.should_prune(last.number)


def run_to_divergence(search: Search, *, value: float, count: int) -> None:
    """Trials that are worse than any that comes, until they have no number any more."""
    for _ in range(count):
        proposal = search.ask()
        assert proposal is not None
        for step in range(1, 9):
            search.report(proposal.number, step=step, value=0.1 if step < 3 else value)
            search.should_prune(proposal.number)
        search.tell(proposal.number, outcome=Outcome.DIVERGED, reason=f"epoch 3: val_accuracy is {value}")
