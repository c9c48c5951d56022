"""What trials take of a race that was run for trials of another length."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.races.typical_run import TypicalRun
from autotune.events import Finished, Outcome, Scalar
from autotune.recording.drafts import NewTrial
from autotune.speed.racing.run_length import RunLength
from tests.coordinator.races.simulated import racing_study
from tests.coordinator.retraining.instant import InstantTrials, Said
from tests.reports import make_report
from tests.speed.simulated import Cost, Setting

SPEC = """
task: autotune.tasks.digits:Digits
objective: {metric: val_loss, direction: minimize}
budget: {trials: 3, epochs: EPOCHS}
learning: {batch_size: {choices: [32, 64]}}
speed:
  num_workers: {choices: [0, 2]}
  compile: {choices: ["off", default]}
baseline: {batch_size: 32, num_workers: 0, compile: "off"}
"""
SHORT, TOO_SHORT, LONG = 2, 30, 100
"""Epochs of 100 steps; compiling is tried for 20 s of training, and repaid after 4,000 steps."""
TO_A_TARGET = SPEC.replace("{metric: val_loss, direction: minimize}", "{time_to: {val_loss: 0.2}}")
TO_A_TARGET = TO_A_TARGET.replace("EPOCHS", str(LONG))
KNOWN = "races: this machine knows the winner of a workload of this task"


def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
    """Workers pay, and compiling halves what is left of a step, for 20 s."""
    del learning
    is_compiled = setting["compile"] == "default"
    return Cost(
        compute_seconds=0.005 if is_compiled else 0.01,
        wait_seconds=0.0 if setting["num_workers"] else 0.02,
        start_seconds=20.0 if is_compiled else 0.1,
    )


class Studies:
    """Studies on one database, one after the other."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._num = 0
        self.said: list[str] = []
        """Of the last one."""

    def train(self, epochs: int, *, batch_size: int = 32, is_alone: bool = True) -> tuple[Scalar, Scalar]:
        """Workers and compilation of a trial of so many epochs."""
        self._num += 1
        with racing_study(
            self._folder,
            spec=SPEC.replace("EPOCHS", str(epochs)),
            cost=cost,
            monkeypatch=self._monkeypatch,
            name=f"study-{self._num}",
        ) as study:
            self.said = study.said
            trained = study.train(1, batch_size=batch_size, is_alone=is_alone)
        return trained["num_workers"], trained["compile"]


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    return Studies(tmp_path, monkeypatch)


def test_trials_that_are_too_short_to_repay_compiling_take_the_rest_of_a_winner(studies: Studies) -> None:
    """A study of two epochs compiled for 20 s in each trial, since one of a hundred had found that it pays."""
    assert studies.train(LONG) == (2, "default")
    assert studies.train(SHORT) == (2, "off")
    without = "races: trials go without the winner's compile: its 19.9 s are repaid after "
    assert studies.said[0] == KNOWN
    assert studies.said[1].startswith(without)
    assert len(studies.said) == 2
    assert studies.train(LONG) == (2, "default")
    assert studies.said == [KNOWN]


def test_trials_of_another_workload_compile_where_they_repay_it_alone(studies: Studies) -> None:
    studies.train(LONG)
    assert studies.train(LONG, batch_size=64, is_alone=False) == (2, "default")
    assert studies.train(SHORT, batch_size=64, is_alone=False) == (2, "off")


@pytest.mark.parametrize("first", [SHORT, TOO_SHORT])
def test_workload_is_raced_again_once_for_trials_that_repay_compiling(studies: Studies, first: int) -> None:
    """Whether compiling was not tried at all, or was not repaid."""
    assert studies.train(first) == (2, "off")
    assert studies.train(first + 1) == (2, "off")
    assert studies.said == [KNOWN]
    assert studies.train(LONG) == (2, "default")
    assert studies.said[1].endswith("again: trials are long enough now to repay what starts slowly")
    assert studies.train(LONG) == (2, "default")
    assert studies.said == [KNOWN]


def test_trials_compile_where_the_epochs_to_their_target_repay_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the budget's hundred epochs trials need two; what compiling costs would be in the objective."""

    def sees_its_target(parameters: Mapping[str, Scalar], number: int) -> Said:
        del parameters, number
        metrics = {"val_loss": 0.1, "time_to_val_loss": 4.0, "val_accuracy": 0.5}
        report = make_report(SHORT, metrics=metrics, trained_seconds=4.0)
        return [report], Finished(outcome=Outcome.COMPLETE, samples_per_second=320.0)

    trials = InstantTrials(sees_its_target)
    with racing_study(tmp_path, spec=TO_A_TARGET, cost=cost, monkeypatch=monkeypatch) as study:
        study.run(trials, interrupts=Interrupts())
    assert [(trained["num_workers"], trained["compile"]) for trained in trials.trained[1:]] == [(2, "off")] * 2


def test_run_that_ends_at_its_target_is_as_long_as_complete_trials_of_its_study_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pruned one never saw it, and one of an earlier study may have had another target."""
    with racing_study(tmp_path, spec=TO_A_TARGET, cost=cost, monkeypatch=monkeypatch) as study:
        typical = TypicalRun(study.books, by_budget=study.ground.run)

        def add(number: int, *, epochs: int, outcome: Outcome = Outcome.COMPLETE, origin: str | None = None) -> None:
            new = NewTrial(number=number, parameters={}, seed=0, origin=origin)
            trial = study.records.add_trial(study.books.study, new=new)
            study.records.add_reports([(trial, make_report(epoch)) for epoch in range(1, epochs + 1)])
            study.records.finish_trial(trial, finished=Finished(outcome=outcome), values=None)

        add(0, epochs=9, outcome=Outcome.PRUNED)
        add(1, epochs=1, origin="earlier/3")
        assert typical.now() == RunLength(epochs=LONG)
        for number, epochs in enumerate((8, 3, 4), start=2):
            add(number, epochs=epochs)
        assert typical.now() == RunLength(epochs=4)
