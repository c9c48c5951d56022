import math

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from autotune.errors import StorageError, StudyNotFoundError
from autotune.events import Outcome
from autotune.goals import BASELINE_NUMBER
from autotune.search.stored import delete_search
from autotune.search.study import Search
from tests.search.conftest import OpenStorage
from tests.search.spaces import ACCURACY, SPEED, conditional_space, is_legal, plan_for, run_trials

PLAN = plan_for(conditional_space())


def ask_after_baseline(search: Search) -> int:
    run_trials(search, count=1)
    proposal = search.ask()
    assert proposal is not None
    return proposal.number


def stored(storage: RDBStorage, search: Search, number: int) -> optuna.trial.FrozenTrial:
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(search.study_id, number))


def test_a_name_that_optuna_has_with_trials_is_refused(storage: RDBStorage) -> None:
    optuna.create_study(study_name="theirs", storage=storage).ask()

    with pytest.raises(StorageError, match=r"study theirs: .* choose another --name"):
        Search.create("theirs", storage=storage, plan=PLAN)


def test_a_study_that_a_cut_off_start_left_without_a_trial_is_taken(storage: RDBStorage) -> None:
    optuna.create_study(study_name="half", storage=storage, direction="maximize")

    search = Search.create("half", storage=storage, plan=PLAN)

    assert [p.number for p in run_trials(search, count=2)] == [0, 1]


def test_opening_a_study_that_is_not_there_says_so(storage: RDBStorage) -> None:
    with pytest.raises(StudyNotFoundError, match="study gone: Optuna's tables must have it, got none"):
        Search.open("gone", storage=storage, plan=PLAN)


def test_deleting_twice_is_no_error(storage: RDBStorage) -> None:
    Search.create("study", storage=storage, plan=PLAN)

    delete_search("study", storage=storage)
    delete_search("study", storage=storage)

    assert storage.get_all_studies() == []


@pytest.mark.parametrize(
    ("outcome", "has_reported", "state"),
    [
        (Outcome.COMPLETE, True, TrialState.COMPLETE),
        (Outcome.PRUNED, True, TrialState.PRUNED),
        (Outcome.DIVERGED, False, TrialState.PRUNED),
        (Outcome.INFEASIBLE, False, TrialState.PRUNED),
        (Outcome.TIMED_OUT, True, TrialState.PRUNED),
        (Outcome.TIMED_OUT, False, TrialState.FAIL),
        (Outcome.FAILED, True, TrialState.FAIL),
        (Outcome.INTERRUPTED, True, TrialState.FAIL),
    ],
)
def test_each_outcome_has_its_state_in_optuna(
    outcome: Outcome, *, has_reported: bool, state: TrialState, storage: RDBStorage
) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)
    for epoch in range(1, 1 + has_reported):
        search.report(number, step=epoch, value=0.5)

    search.tell(number, outcome=outcome, values=(0.5,), reason="so it was", samples_per_second=812.5)

    trial = stored(storage, search, number)
    assert trial.state is state
    assert trial.user_attrs == {"outcome": str(outcome), "reason": "so it was", "samples_per_second": 812.5}


def test_the_baseline_says_that_it_is_one(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)

    assert stored(storage, search, 0).user_attrs["is_baseline"] is True
    assert "is_baseline" not in stored(storage, search, number).user_attrs


def test_searched_parameters_come_before_fixed_ones(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    baseline, proposal = search.ask(), search.ask()

    assert baseline is not None
    assert proposal is not None
    assert list(baseline.parameters) == ["optimizer", "lr", "batch_size", "schedule"]
    names = list(proposal.parameters)
    assert (names[0], names[-1]) == ("optimizer", "schedule")


def test_an_infeasible_trial_breaks_a_constraint_that_the_dashboard_shows_too(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)

    search.tell(number, outcome=Outcome.INFEASIBLE, reason="out of memory")

    trial = stored(storage, search, number)
    assert all(value > 0 for value in trial.constraints.values())
    assert trial.system_attrs["constraints"] == [1.0]


def test_a_complete_trial_without_a_finite_value_is_told_as_diverged(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)

    search.tell(number, outcome=Outcome.COMPLETE, values=(math.nan,))

    trial = stored(storage, search, number)
    assert (trial.state, trial.values, trial.user_attrs["outcome"]) == (TrialState.PRUNED, None, "diverged")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_never_stored(value: float, storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)

    search.report(number, step=1, value=0.5)
    search.report(number, step=2, value=value)

    assert stored(storage, search, number).intermediate_values == {1: 0.5}


def test_a_repeated_report_changes_nothing(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)

    search.report(number, step=1, value=0.5)
    search.report(number, step=1, value=0.7)

    assert stored(storage, search, number).intermediate_values == {1: 0.5}


def test_telling_twice_keeps_the_first(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)

    search.tell(number, outcome=Outcome.COMPLETE, values=(0.5,))
    search.tell(number, outcome=Outcome.FAILED, reason="late")

    assert stored(storage, search, number).state is TrialState.COMPLETE
    assert search.running() == ()


def test_attributes_of_a_running_trial_are_stored(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    number = ask_after_baseline(search)

    search.set_attributes(number, attributes={"device": "cpu", "samples_per_second": 812.5})

    assert stored(storage, search, number).user_attrs == {"device": "cpu", "samples_per_second": 812.5}


def test_a_choice_that_is_not_legal_here_goes_under_a_name_of_its_own(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    proposals = run_trials(search, count=20)[1:]

    for proposal in proposals:
        names = stored(storage, search, proposal.number).params.keys()
        expected = {
            "adagrad": "optimizer_impl[for_loop,foreach]",
            "adam": "optimizer_impl",
            "sgd": "optimizer_impl",
        }[str(proposal.parameters["optimizer"])]
        assert expected in names
        assert "optimizer_impl" in proposal.parameters


def test_a_widened_range_is_searched_in_full(open_again: OpenStorage) -> None:
    narrow = plan_for(conditional_space(lr_high=1e-3), sampler="tpe", options={"startup_trials": 5})
    run_trials(Search.create("study", storage=open_again(), plan=narrow), count=10)
    wide = plan_for(conditional_space(lr_high=1.0), sampler="tpe", options={"startup_trials": 5})

    proposals = run_trials(Search.open("study", storage=open_again(), plan=wide), count=15)

    assert max(float(str(p.parameters["lr"])) for p in proposals) > 1e-3


def test_a_trial_that_was_queued_with_optuna_comes_first(storage: RDBStorage) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    run_trials(search, count=2)
    optuna.load_study(study_name="study", storage=storage).enqueue_trial({"optimizer": "sgd", "lr": 0.25})

    proposal = search.ask()

    assert proposal is not None
    assert (proposal.parameters["optimizer"], proposal.parameters["lr"]) == ("sgd", 0.25)
    assert is_legal(PLAN.space, proposal.parameters)
    assert [running.number for running in search.running()] == [proposal.number]


@pytest.mark.parametrize(
    ("queued", "reason"),
    [
        ({"lr": 20.0}, "queued with lr=20.0, which is outside the search space"),
        ({"depth": 3}, "queued with depth, which the search space doesn't have"),
        ({"optimizer": "lion"}, "queued with optimizer=lion, which is outside the search space"),
        ({"num_workers": True}, "queued with num_workers=True, which is outside the search space"),
    ],
)
def test_a_queued_trial_that_does_not_fit_fails_and_the_next_is_asked(
    queued: dict[str, object], reason: str, storage: RDBStorage
) -> None:
    search = Search.create("study", storage=storage, plan=PLAN)
    run_trials(search, count=1)
    optuna.load_study(study_name="study", storage=storage).enqueue_trial(queued)

    proposal = search.ask()

    assert proposal is not None
    assert is_legal(PLAN.space, proposal.parameters)
    refused = stored(storage, search, 1)
    assert (refused.state, refused.user_attrs["reason"]) == (TrialState.FAIL, reason)


def test_the_dashboard_gets_the_metrics_names(storage: RDBStorage) -> None:
    plan = plan_for(conditional_space(), objectives=(ACCURACY, SPEED))
    Search.create("study", storage=storage, plan=plan)

    study = optuna.load_study(study_name="study", storage=storage)

    assert study.metric_names == ["val_accuracy", "samples_per_second"]


def test_an_adopted_baseline_keeps_exactly_its_parameters(open_again: OpenStorage) -> None:
    asked = Search.create("study", storage=open_again(), plan=PLAN).ask()
    search = Search.open("study", storage=open_again(), plan=PLAN)

    (running,) = search.running()

    assert running.number == BASELINE_NUMBER
    assert search.adopt(running.optuna_id) == asked
