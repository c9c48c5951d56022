import math
from collections.abc import Mapping

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from autotune.events import Outcome, Scalar
from autotune.search.plan import TrialHistory
from autotune.search.study import Search
from tests.search.conftest import OpenStorage
from tests.search.spaces import ACCURACY, SPEED, conditional_space, is_legal, plan_for, run_trials

PLAN = plan_for(conditional_space(), sampler="tpe", pruner="hyperband", options={"startup_trials": 5})

FITTING: Mapping[str, Scalar] = {
    "schedule": "cosine",
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "batch_size": 64,
    "num_workers": 0,
    "optimizer_impl": "fused",
    "accumulate": 2,
}


def make_history(
    number: int = 4,
    parameters: Mapping[str, Scalar] = FITTING,
    *,
    outcome: Outcome | None = Outcome.COMPLETE,
    values: tuple[float, ...] | None = (0.9,),
) -> TrialHistory:
    return TrialHistory(number=number, parameters=parameters, outcome=outcome, values=values, reports={1: 0.4, 2: 0.9})


@pytest.fixture
def search(storage: RDBStorage) -> Search:
    search = Search.create("new", storage=storage, plan=PLAN)
    run_trials(search, count=1)
    return search


def test_a_trial_that_fits_is_added_with_its_origin(search: Search, storage: RDBStorage) -> None:
    taken = search.import_trials([make_history(4), make_history(9)], source="old")

    imported = storage.get_all_trials(search.study_id)[1:]
    assert taken == {1: 4, 2: 9}
    assert [trial.user_attrs["origin"] for trial in imported] == ["old/4", "old/9"]
    assert [trial.values for trial in imported] == [[0.9], [0.9]]
    assert imported[0].params["accumulate[1,2]"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 3.0},
        {"batch_size": 32},
        {"batch_size": 96, "accumulate": 5},
        {"accumulate": 3},
        {"optimizer": "adam"},
        {"prefetch_factor": 2},
        {"schedule": "constant"},
        {"depth": 2},
        {"num_workers": "0"},
    ],
)
def test_a_trial_that_does_not_fit_is_left_out(changes: Mapping[str, Scalar], search: Search) -> None:
    assert search.import_trials([make_history(parameters={**FITTING, **changes})], source="old") == {}


@pytest.mark.parametrize("missing", ["lr", "momentum", "schedule", "num_workers"])
def test_a_trial_that_lacks_a_parameter_is_left_out(missing: str, search: Search) -> None:
    parameters = {name: value for name, value in FITTING.items() if name != missing}

    assert search.import_trials([make_history(parameters=parameters)], source="old") == {}


@pytest.mark.parametrize(
    ("outcome", "values"),
    [
        (Outcome.FAILED, None),
        (Outcome.INTERRUPTED, None),
        (None, None),
        (Outcome.COMPLETE, None),
        (Outcome.COMPLETE, (math.nan,)),
        (Outcome.COMPLETE, (0.9, 0.1)),
    ],
)
def test_a_trial_that_teaches_nothing_is_left_out(
    outcome: Outcome | None, values: tuple[float, ...] | None, search: Search
) -> None:
    assert search.import_trials([make_history(outcome=outcome, values=values)], source="old") == {}


def test_pruned_and_infeasible_trials_are_learned_from(search: Search, storage: RDBStorage) -> None:
    pruned = make_history(1, outcome=Outcome.PRUNED, values=None)
    infeasible = make_history(2, outcome=Outcome.INFEASIBLE, values=None)

    search.import_trials([pruned, infeasible], source="old")

    trials = storage.get_all_trials(search.study_id)[1:]
    assert [trial.state for trial in trials] == [TrialState.PRUNED, TrialState.PRUNED]
    assert trials[0].intermediate_values == {1: 0.4, 2: 0.9}
    assert (trials[0].constraints, trials[1].constraints != {}) == ({}, True)


def test_importing_again_after_a_crash_adds_what_is_missing(search: Search, open_again: OpenStorage) -> None:
    search.import_trials([make_history(4)], source="old")

    resumed = Search.open("new", storage=open_again(), plan=PLAN)

    assert resumed.import_trials([make_history(4), make_history(5)], source="old") == {1: 4, 2: 5}


def test_the_study_goes_on_after_imported_numbers(search: Search, open_again: OpenStorage) -> None:
    search.import_trials([make_history(number) for number in range(6)], source="old")
    first = run_trials(search, count=3)

    rest = run_trials(Search.open("new", storage=open_again(), plan=PLAN), count=3)

    assert [proposal.number for proposal in first + rest] == [7, 8, 9, 10, 11, 12]
    assert all(is_legal(PLAN.space, proposal.parameters) for proposal in first + rest)


def test_several_objectives_are_imported_without_reports(storage: RDBStorage) -> None:
    plan = plan_for(conditional_space(), sampler="tpe", objectives=(ACCURACY, SPEED), options={"startup_trials": 2})
    search = Search.create("new", storage=storage, plan=plan)
    run_trials(search, count=1, num_objectives=2)
    pruned = make_history(1, outcome=Outcome.PRUNED, values=None)

    assert search.import_trials([make_history(0, values=(0.9, 10.0)), pruned], source="old") == {1: 0, 2: 1}
    assert all(is_legal(plan.space, p.parameters) for p in run_trials(search, count=4, num_objectives=2))
