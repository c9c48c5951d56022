"""Whatever happens in whatever order, a study keeps what it acknowledged, once, and ends with its budget."""

import math
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from optuna.trial import TrialState

from autotune.errors import LeaseLostError, StudyHeldError, StudyStoppedError
from autotune.events import Event, Outcome
from autotune.recording.database import open_database
from autotune.recording.engines import configure_engine
from autotune.recording.records import Records
from autotune.recording.rows import TrialStatus
from autotune.search.outcomes import optuna_state
from autotune.search.storage import open_storage
from autotune.trial.launcher import Exited
from tests.coordinator.simulated import (
    NAME,
    NUM_TRIALS,
    Acknowledged,
    PassingClock,
    SimulatedCoordinator,
    SimulatedTrial,
    make_study,
)

LONG_AGO_SECONDS = 60.0
positions = st.integers(min_value=0, max_value=25)
picks = st.integers(min_value=0, max_value=7)


class StudyMachine(RuleBasedStateMachine):
    """One study, coordinators that are killed, frozen and fenced, and trials that die."""

    template: Path
    """A folder with the study before its first start."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="autotune-property-", dir=self.template.parent))
        self.clock = PassingClock()
        self.patch = mock.patch("autotune.coordinator.session.time", self.clock)
        self.patch.start()
        self.told = Acknowledged()
        self.checkpoints: dict[int, int] = {}
        self.current: SimulatedCoordinator | None = None
        self.fenced: list[SimulatedCoordinator] = []

    @initialize()
    def copy_the_study(self) -> None:
        shutil.copytree(self.template, self.folder, dirs_exist_ok=True)
        self.records = Records(open_database(f"sqlite:///{self.folder}/autotune.db", create=False))
        self.study = self.records.study(NAME)

    def has_none(self) -> bool:
        return self.current is None

    def is_frozen(self) -> bool:
        return self.current is not None and self.current.is_frozen

    def is_waiting(self) -> bool:
        return self.current is not None and self.current.state == "waiting"

    def has_trials(self) -> bool:
        return self.is_waiting() and bool(self.living())

    def living(self) -> list[SimulatedTrial]:
        assert self.current is not None
        return [trial for trial in self.current.launcher.trials if not trial.is_gone]

    def pick(self, index: int) -> SimulatedTrial:
        living = self.living()
        return living[index % len(living)]

    @precondition(has_none)
    @rule(freeze_after=st.none() | positions)
    def start_or_resume(self, freeze_after: int | None) -> None:
        self.current = SimulatedCoordinator(self.folder, acknowledged=self.told, checkpoints=self.checkpoints)
        self.current.start(freeze_after=freeze_after)
        self.settle()

    @precondition(has_trials)
    @rule(index=picks)
    def begin_to_train(self, index: int) -> None:
        trial = self.pick(index)
        self.hear(trial, trial.begin())

    @precondition(has_trials)
    @rule(index=picks)
    def train_an_epoch(self, index: int) -> None:
        self.train(self.pick(index))

    @precondition(has_trials)
    @rule(index=picks)
    def die_after_the_checkpoint(self, index: int) -> None:
        trial = self.pick(index)
        trial.train()
        self.hear(trial, trial.die())

    @precondition(has_trials)
    @rule(index=picks)
    def kill_a_trial(self, index: int) -> None:
        trial = self.pick(index)
        self.hear(trial, trial.die())

    @precondition(has_trials)
    @rule(index=picks, outcome=st.sampled_from([Outcome.FAILED, Outcome.INFEASIBLE, Outcome.DIVERGED]))
    def end_badly(self, index: int, outcome: Outcome) -> None:
        trial = self.pick(index)
        self.hear(trial, trial.end(outcome))

    @precondition(is_waiting)
    @rule(count=positions)
    def freeze_soon(self, count: int) -> None:
        assert self.current is not None
        self.current.freeze_after(count)

    @precondition(is_frozen)
    @rule()
    def thaw(self) -> None:
        assert self.current is not None
        self.current.thaw()
        self.settle()

    @precondition(lambda self: not self.has_none())
    @rule()
    def kill_the_coordinator(self) -> None:
        assert self.current is not None
        self.current.kill()
        self.current = None

    @precondition(lambda self: not self.has_none())
    @rule()
    def lose_the_lease(self) -> None:
        assert self.current is not None
        self.current.seem_dead()
        self.fenced.append(self.current)
        self.current = None

    @precondition(is_waiting)
    @rule()
    def stop_cleanly(self) -> None:
        assert self.current is not None
        self.current.wish_to_stop()
        for trial in self.living():
            if self.is_waiting():
                self.hear(trial, trial.end(Outcome.INTERRUPTED))
        if self.is_waiting():
            self.current.hear(None, [])
            self.settle()

    @precondition(lambda self: bool(self.fenced) and self.current is not None and self.current.token is not None)
    @rule()
    def wake_a_fenced_one(self) -> None:
        """Its host stood still until another one had the study: it may write nothing more."""
        before = self.records.trials(self.study), self.records.all_reports(self.study)
        coordinator = self.fenced.pop()
        self.clock.pass_seconds(LONG_AGO_SECONDS)
        while not coordinator.is_over:
            if coordinator.is_frozen:
                coordinator.thaw()
            else:
                coordinator.hear(None, [])
        assert isinstance(coordinator.error, LeaseLostError | StudyHeldError), coordinator.error
        assert (self.records.trials(self.study), self.records.all_reports(self.study)) == before

    @invariant()
    def what_was_told_is_kept(self) -> None:
        rows = {row.number: row for row in self.records.trials(self.study)}
        reports = self.records.all_reports(self.study)
        kept = {(row.number, row.report.epoch): row.report.metrics["val_accuracy"] for row in reports}
        assert len(kept) == len(reports), "an epoch is there twice"
        assert len(rows) <= NUM_TRIALS
        for number, parameters in self.told.parameters.items():
            assert rows[number].parameters == parameters
        for key, value in self.told.reports.items():
            assert kept[key] == pytest.approx(value, nan_ok=True)
        for number, outcome in self.told.outcomes.items():
            assert (rows[number].status, rows[number].outcome) == (TrialStatus.ENDED, outcome)
        for number in rows:
            epochs = sorted(epoch for of, epoch in kept if of == number)
            assert epochs == list(range(1, len(epochs) + 1)), "an epoch is missing"

    def teardown(self) -> None:
        try:
            if hasattr(self, "records"):
                self.finish()
                self.check_the_end()
        finally:
            for coordinator in [*self.fenced, *([self.current] if self.current else [])]:
                coordinator.kill()
            self.patch.stop()
            if hasattr(self, "records"):
                self.records.engine.dispose()
            shutil.rmtree(self.folder)

    def finish(self) -> None:
        """Start it as often as it takes, with nothing in the way; fenced coordinators wake when it is over."""
        is_complete = False
        while not is_complete:
            if self.current is None:
                self.current = SimulatedCoordinator(self.folder, acknowledged=self.told, checkpoints=self.checkpoints)
                self.current.start()
            coordinator = self.current
            while not coordinator.is_over:
                if coordinator.is_frozen:
                    coordinator.thaw()
                elif living := self.living():
                    self.train(living[0])
                else:
                    coordinator.hear(None, [])
            is_complete = coordinator.is_complete
            self.settle()

    def check_the_end(self) -> None:
        self.what_was_told_is_kept()
        rows = self.records.trials(self.study)
        assert [row.number for row in rows if row.is_over] == list(range(NUM_TRIALS))
        assert all(row.outcome is not Outcome.COMPLETE or row.values for row in rows)
        storage = open_storage(f"sqlite:///{self.folder}/autotune.db", configure_engine=configure_engine)
        trials = storage.get_all_trials(storage.get_study_id_from_name(NAME))
        reports = self.records.all_reports(self.study)
        for row, trial in zip(rows, trials, strict=True):
            assert row.outcome is not None
            mine = {
                report.report.epoch: report.report.metrics["val_accuracy"]
                for report in reports
                if report.number == row.number
            }
            assert trial.state is optuna_state(row.outcome, has_reported=bool(mine))
            assert trial.intermediate_values == {epoch: value for epoch, value in mine.items() if not math.isnan(value)}
            assert trial.state is not TrialState.COMPLETE or trial.values == pytest.approx(row.values)
        storage.engine.dispose()

    def train(self, trial: SimulatedTrial) -> None:
        """An epoch; or the end, where that was the last one or it was told to stop."""
        if trial.stop is not None:
            self.hear(trial, trial.end(trial.stop.outcome))
        elif trial.is_trained:
            self.hear(trial, trial.end(Outcome.COMPLETE))
        else:
            self.hear(trial, trial.train())

    def hear(self, trial: SimulatedTrial, events: list[Event | Exited]) -> None:
        assert self.current is not None
        self.current.hear(trial, events)
        self.settle()

    def settle(self) -> None:
        """A coordinator that is over must have ended well, or have given up on trials that all failed alike."""
        if self.current is not None and self.current.is_over:
            if isinstance(self.current.error, StudyStoppedError):
                self.current.kill()  # its process has ended with the error
            elif self.current.error is not None:
                raise self.current.error
            self.current = None


@pytest.mark.slow
def test_any_interleaving_keeps_what_was_acknowledged_and_ends_with_the_budget(tmp_path: Path) -> None:
    run_interleavings(tmp_path, count=10)


def run_interleavings(folder: Path, *, count: int, seed: int | None = None) -> None:
    """So many studies, each with up to 30 events; without a seed always the same ones."""
    StudyMachine.template = folder / "template"
    StudyMachine.template.mkdir()
    make_study(StudyMachine.template)
    machine = StudyMachine if seed is None else hypothesis.seed(seed)(StudyMachine)
    rules = settings(
        max_examples=count,
        stateful_step_count=30,
        deadline=None,
        derandomize=seed is None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    run_state_machine_as_test(machine, settings=rules)
