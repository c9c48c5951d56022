from dataclasses import replace

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from autotune.events import Outcome
from autotune.search.plan import TrialHistory
from autotune.search.proposals import Proposal
from autotune.search.study import Search
from tests.search.conftest import OpenStorage
from tests.search.spaces import ACCURACY, SPEED, conditional_space, plan_for, run_trials

PLAN = plan_for(conditional_space(), pruner="successive_halving")


def crash(open_again: OpenStorage) -> tuple[Search, Proposal, RDBStorage]:
    """A study whose trial 2 had one report stored when the coordinator died."""
    storage = open_again()
    search = Search.create("study", storage=storage, plan=PLAN)
    run_trials(search, count=2)
    proposal = search.ask()
    assert proposal is not None
    search.report(proposal.number, step=1, value=0.5)
    return Search.open("study", storage=open_again(), plan=PLAN), proposal, storage


def history(proposal: Proposal, outcome: Outcome | None, **values: float) -> TrialHistory:
    return TrialHistory(
        number=proposal.number,
        parameters=proposal.parameters,
        outcome=outcome,
        values=tuple(values.values()) or None,
        reason="as our tables have it",
        samples_per_second=812.5,
        reports={1: 0.5, 2: 0.6, 3: 0.7},
    )


def test_missing_reports_are_told(open_again: OpenStorage) -> None:
    search, proposal, storage = crash(open_again)

    search.reconcile([history(proposal, None)])

    assert storage.get_trial(proposal.optuna_id).intermediate_values == {1: 0.5, 2: 0.6, 3: 0.7}
    assert [running.number for running in search.running()] == [proposal.number]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.COMPLETE, TrialState.COMPLETE),
        (Outcome.PRUNED, TrialState.PRUNED),
        (Outcome.INFEASIBLE, TrialState.PRUNED),
        (Outcome.FAILED, TrialState.FAIL),
    ],
)
def test_a_missing_ending_is_told(outcome: Outcome, state: TrialState, open_again: OpenStorage) -> None:
    search, proposal, storage = crash(open_again)

    search.reconcile([history(proposal, outcome, val_accuracy=0.7)])

    trial = storage.get_trial(proposal.optuna_id)
    assert trial.state is state
    assert trial.user_attrs == {
        "outcome": str(outcome),
        "reason": "as our tables have it",
        "samples_per_second": 812.5,
    }
    assert search.running() == ()


def test_an_interrupted_trial_stays_running(open_again: OpenStorage) -> None:
    search, proposal, storage = crash(open_again)

    search.reconcile([history(proposal, Outcome.INTERRUPTED)])

    assert storage.get_trial(proposal.optuna_id).state is TrialState.RUNNING
    assert search.adopt(proposal.optuna_id) == proposal


def test_reconciling_twice_changes_nothing(open_again: OpenStorage) -> None:
    search, proposal, storage = crash(open_again)
    told = history(proposal, Outcome.COMPLETE, val_accuracy=0.7)

    search.reconcile([told])
    once = storage.get_all_trials(search.study_id)
    search.reconcile([told])

    assert storage.get_all_trials(search.study_id) == once


def test_a_trial_that_optuna_never_had_is_passed_over(open_again: OpenStorage) -> None:
    search, proposal, storage = crash(open_again)
    ghost = TrialHistory(number=99, parameters={}, outcome=Outcome.COMPLETE, values=(1.0,), reports={1: 1.0})

    search.reconcile([ghost, history(proposal, None)])

    assert len(storage.get_all_trials(search.study_id)) == 3


def test_reports_of_several_objectives_stay_out_of_optuna(open_again: OpenStorage) -> None:
    plan = plan_for(conditional_space(), objectives=(ACCURACY, SPEED))
    storage = open_again()
    search = Search.create("study", storage=storage, plan=plan)
    run_trials(search, count=1, num_objectives=2)
    proposal = search.ask()
    assert proposal is not None

    search.reconcile([history(proposal, Outcome.PRUNED)])

    trial = storage.get_trial(proposal.optuna_id)
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {})


def rung_notes(storage: RDBStorage, proposal: Proposal) -> dict[str, float]:
    attributes = storage.get_trial(proposal.optuna_id).system_attrs
    return {name: value for name, value in attributes.items() if "_rung_" in name}


def test_what_a_trial_reported_before_it_was_begun_anew_is_forgotten(open_again: OpenStorage) -> None:
    search, proposal, storage = crash(open_again)
    assert search.should_prune(proposal.number) is False
    assert rung_notes(storage, proposal) == {"completed_rung_0": 0.5}

    search.note_fallback(proposal.number, reason="no kernel")

    assert storage.get_trial(proposal.optuna_id).intermediate_values == {}
    assert rung_notes(storage, proposal) == {}
    search.report(proposal.number, step=1, value=0.4)
    search.should_prune(proposal.number)
    assert rung_notes(storage, proposal) == {"completed_rung_0": 0.4}


def test_fallback_that_was_cut_off_before_optunas_rows_is_made_good(open_again: OpenStorage) -> None:
    search, proposal, storage = crash(open_again)
    search.should_prune(proposal.number)
    anew = replace(history(proposal, None), reports={1: 0.4}, speed_fallback="no kernel")

    for reports in ({1: 0.4}, {1: 0.4, 2: 0.45}):
        search = Search.open("study", storage=open_again(), plan=PLAN)
        search.reconcile([replace(anew, reports=reports)])
        search.should_prune(proposal.number)
        trial = storage.get_trial(proposal.optuna_id)
        assert trial.intermediate_values == reports
        assert trial.user_attrs["speed_fallback"] == "no kernel"
        assert rung_notes(storage, proposal) == {"completed_rung_0": 0.4}


def test_others_trial_that_was_begun_anew_is_held_against_nothing_that_it_reported_before(
    open_again: OpenStorage,
) -> None:
    search, proposal, _ = crash(open_again)
    plain = history(proposal, None)
    search.observe(replace(plain, reports={1: 0.9, 2: 0.9}))
    for reports in ({1: 0.1}, {1: 0.1, 2: 0.2}):
        search.observe(replace(plain, reports=reports, speed_fallback="no kernel"))
    own = search.ask()
    assert own is not None
    search.report(own.number, step=1, value=0.7)
    assert not search.should_prune(own.number)
