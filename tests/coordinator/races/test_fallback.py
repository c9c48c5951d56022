"""Trials that can't be trained with what a race found; races and trainings are simulated."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
import pytest
from typing_extensions import override

from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import StudyView, TrialView
from autotune.events import Finished, Outcome, Scalar
from autotune.recording.rows import TrialRow
from tests.coordinator.races.simulated import RacingStudy, racing_study
from tests.coordinator.retraining.instant import InstantTrials, Listener, Said
from tests.reports import make_report
from tests.speed.simulated import Cost, Setting

SPEC = """
task: autotune.tasks.digits:Digits
objective: {metric: val_loss, direction: minimize}
budget: {trials: 6, epochs: 2}
sampler: random
learning: {batch_size: {choices: [32, 64]}, lr: {low: 1e-3, high: 1e-1}}
speed: {num_workers: {choices: [0, 2]}}
baseline: {batch_size: 32, lr: 1e-2, num_workers: 0}
"""
NO_ROOM = "cache=memory: the samples must fit into a quarter of the memory that this host has free"


class Launches(Listener):
    """Keeps what each process of a trial was launched with."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[tuple[int, Scalar, Scalar]] = []
        """Number, batch size and workers."""

    @override
    def trial_launched(self, trial: TrialView, study: StudyView) -> None:
        self.reports = {key: value for key, value in self.reports.items() if key[0] != trial.number}  # it begins anew
        self.launched.append((trial.number, trial.parameters["batch_size"], trial.parameters["num_workers"]))


def workers_pay(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
    del learning
    return Cost(compute_seconds=0.01, wait_seconds=0.0 if setting["num_workers"] else 0.02)


def trained(number: int) -> Said:
    report = make_report(2, metrics={"val_loss": 1 / (1 + number), "val_accuracy": 0.5}, trained_seconds=4.0)
    return [report], Finished(outcome=Outcome.COMPLETE, samples_per_second=320.0)


def infeasible(*, is_out_of_memory: bool = False) -> Said:
    return [], Finished(outcome=Outcome.INFEASIBLE, reason=NO_ROOM, is_out_of_memory=is_out_of_memory)


def fits_without_workers(parameters: Mapping[str, Scalar], number: int) -> Said:
    return infeasible() if parameters["num_workers"] else trained(number)


def run(study: RacingStudy, trials: InstantTrials) -> tuple[Launches, Sequence[TrialRow]]:
    observer = Launches()
    with Interrupts() as interrupts:
        interrupts.wake_with(lambda: None)
        study.run(trials, interrupts=interrupts, observer=observer)
    return observer, study.records.trials(study.books.study)


def test_trial_that_cant_be_trained_with_a_races_setting_is_trained_with_the_baselines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler heard that its learning parameters were infeasible; one trial of each workload finds out."""
    with racing_study(tmp_path, spec=SPEC, cost=workers_pay, monkeypatch=monkeypatch) as study:
        observer, rows = run(study, InstantTrials(fits_without_workers))
        assert [row.outcome for row in rows] == [Outcome.COMPLETE] * 6
        assert all(row.parameters["num_workers"] == 0 for row in rows)
        fallen = [row for row in rows if row.speed_fallback is not None]
        assert [row.speed_fallback for row in fallen] == [NO_ROOM] * 2
        assert len({row.parameters["batch_size"] for row in fallen}) == 2
        assert [number for number, _, workers in observer.launched if workers] == [row.number for row in fallen]
        said = f"with a race's speed parameters it is infeasible: {NO_ROOM}; it starts with the baseline's"
        assert [line for line in observer.lines if NO_ROOM in line] == [f"trial {row.number}: {said}" for row in fallen]
        url = f"sqlite:///{tmp_path}/autotune.db"
        attributes = [trial.user_attrs for trial in optuna.load_study(study_name="raced", storage=url).trials]
        assert [each.get("speed_fallback") for each in attributes] == [row.speed_fallback for row in rows]

        study.start_again()
        assert {study.train(number, batch_size=32 * number)["num_workers"] for number in (1, 2)} == {0}


def test_trial_that_cant_be_trained_with_the_baselines_setting_either_is_infeasible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(parameters: Mapping[str, Scalar], number: int) -> Said:
        del parameters
        return trained(number) if number == 0 else infeasible()

    with racing_study(tmp_path, spec=SPEC, cost=workers_pay, monkeypatch=monkeypatch) as study:
        observer, rows = run(study, InstantTrials(train))
    assert [row.outcome for row in rows] == [Outcome.COMPLETE, *[Outcome.INFEASIBLE] * 5]
    launched = [number for number, _, _ in observer.launched]
    assert [launched.count(row.number) for row in rows] == [1 if row.speed_fallback is None else 2 for row in rows]
    assert len(launched) == 6 + 2, "once for each workload"


def test_trial_that_runs_out_of_memory_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(parameters: Mapping[str, Scalar], number: int) -> Said:
        return infeasible(is_out_of_memory=True) if parameters["num_workers"] else trained(number)

    with racing_study(tmp_path, spec=SPEC, cost=workers_pay, monkeypatch=monkeypatch) as study:
        observer, rows = run(study, InstantTrials(train))
    lost = [row for row in rows if row.outcome is Outcome.INFEASIBLE]
    assert [row.speed_fallback for row in lost] == [None] * len(lost)
    fallen = [row.speed_fallback for row in rows if row.speed_fallback is not None]
    assert all(reason.startswith("predicted not to fit: trial ") for reason in fallen)
    launched = [number for number, _, _ in observer.launched]
    assert len(launched) == len(set(launched))


def test_trial_that_is_too_large_with_a_races_setting_alone_is_trained_with_the_baselines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was refused, as if its learning parameters did not fit."""
    with racing_study(tmp_path, spec=SPEC, cost=workers_pay, monkeypatch=monkeypatch) as study:
        tickets = [study.ask() for _ in range(2)]
        assert [ticket.row.parameters["num_workers"] for ticket in tickets] == [0, 2]
        for number, batch_size in enumerate((32, 64), start=1):
            parameters = {**tickets[1].row.parameters, "batch_size": batch_size}
            study.fitting.learn(number, parameters=parameters, peak_bytes=batch_size * 2**30)  # of 8 GiB that are there
        tickets = [study.ask() for _ in range(4)]
    held = {(ticket.row.parameters["batch_size"], ticket.row.parameters["num_workers"]) for ticket in tickets}
    assert [ticket.refusal for ticket in tickets] == [None] * 4
    assert held <= {(32, 0), (64, 0)}
    assert any((ticket.row.speed_fallback or "").startswith("predicted not to fit: about ") for ticket in tickets)


def test_trial_that_falls_back_after_some_epochs_has_those_of_its_second_training_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one's stayed everywhere: the second was neither pruned nor shown before it was as far."""

    def train(parameters: Mapping[str, Scalar], number: int) -> Said:
        del number
        value = 0.9 if parameters["num_workers"] else 0.1
        metrics = {"val_loss": value, "val_accuracy": 0.5}
        reports = [make_report(epoch, metrics=metrics, trained_seconds=4.0) for epoch in (1, 2)]
        if parameters["num_workers"]:
            return reports[:1], Finished(outcome=Outcome.INFEASIBLE, reason=NO_ROOM)
        return reports, Finished(outcome=Outcome.COMPLETE, samples_per_second=320.0)

    spec = SPEC.replace("sampler: random", "sampler: random\npruner: none")
    with racing_study(tmp_path, spec=spec, cost=workers_pay, monkeypatch=monkeypatch) as study:
        _, rows = run(study, InstantTrials(train))
        fallen = next(row for row in rows if row.speed_fallback is not None)
        losses = [recorded.report.metrics["val_loss"] for recorded in study.records.reports(fallen)]
        assert losses == [0.1, 0.1]
        url = f"sqlite:///{tmp_path}/autotune.db"
        trial = optuna.load_study(study_name="raced", storage=url).trials[fallen.number]
        assert trial.intermediate_values == {1: 0.1, 2: 0.1}
