"""Trainings that are over at once: what repeats them is real, from the plan to the rows."""

import itertools
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autotune.coordinator.company import Company
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import SideView, StudyView, TrialView
from autotune.coordinator.workplace import Workplace
from autotune.events import EpochReport, Event, Finished, Outcome, Scalar, Started, Stop, TrialOrder
from autotune.hardware import TorchFacts
from autotune.recording.places import Places
from autotune.trial.launcher import Arrival, Exited, Launcher, TrialProcess
from tests.coordinator.simulated import Acknowledged
from tests.machines import machine, torch_facts
from tests.reports import make_report

Said = tuple[Sequence[EpochReport], Finished]
Trainer = Callable[[Mapping[str, Scalar], int], Said]
"""What a training of these parameters says, as the so manieth one."""
_pids = itertools.count(2_000_000)


class Listener(Acknowledged):
    """Keeps what a person would read."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.sides: list[str | None] = []
        self.last_sides: tuple[SideView, ...] = ()

    def trial_launched(self, trial: TrialView, study: StudyView) -> None:
        super().trial_launched(trial, study)
        self.sides.append(trial.side)

    def trial_ended(self, number: int, finished: Finished, study: StudyView) -> None:
        super().trial_ended(number, finished, study)
        self.last_sides = study.sides

    def note(self, line: str) -> None:
        self.lines.append(line)


class InstantTrials(Launcher):
    """Trials that have ended when they are heard first."""

    def __init__(self, train: Trainer) -> None:
        self._train = train
        self._said: list[Arrival] = []
        self.trained: list[Mapping[str, Scalar]] = []
        self.seeds: list[int] = []

    @property
    def facts(self) -> TorchFacts:
        return torch_facts()

    def launch(self, order: TrialOrder) -> TrialProcess:
        process = TrialProcess(order.number, pid=next(_pids))
        reports, finished = self._train(order.parameters, len(self.trained))
        self.trained.append(dict(order.parameters))
        self.seeds.append(order.seed)
        said: list[Event | Exited] = [Started(in_force={}, device="cpu", setup_seconds=0.1), *reports, finished]
        self._said += [Arrival(process, event) for event in (*said, Exited(0, signal=None))]
        return process

    def wait(self, timeout: float) -> list[Arrival]:
        del timeout
        said, self._said = self._said, []
        return said


class SavedTrials(InstantTrials):
    """Trials that leave a checkpoint. Ctrl-C comes while one is trained that ``is_cut_off``, and stops it."""

    def __init__(self, train: Trainer, *, is_cut_off: Callable[[Mapping[str, Scalar]], bool]) -> None:
        super().__init__(train)
        self._is_cut_off = is_cut_off

    def launch(self, order: TrialOrder) -> TrialProcess:
        (Path(order.folder) / "checkpoint.pt").touch()
        process = super().launch(order)
        if self._is_cut_off(order.parameters):
            self._said = [arrival for arrival in self._said if isinstance(arrival.event, Started)]
            os.kill(os.getpid(), signal.SIGINT)
        return process

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        ended = Finished(outcome=stop.outcome, reason=stop.reason)
        self._said += [Arrival(process, event) for event in (ended, Exited(0, signal=None))]


def ends_with(accuracy: float, *, also: Mapping[str, float] | None = None) -> Said:
    """One epoch, after which this is the accuracy."""
    report = make_report(1, metrics={"val_accuracy": accuracy, **(also or {})}, trained_seconds=2.0)
    return [report], Finished(outcome=Outcome.COMPLETE, samples_per_second=320.0)


def make_workplace(
    storage: str, *, folder: Path, trials: InstantTrials, interrupts: Interrupts
) -> tuple[Workplace, Listener]:
    """Beside a study that nobody else holds; MLflow is never there."""
    listener = Listener()
    workplace = Workplace(
        places=Places(storage=storage, tracking_uri=f"sqlite:///{folder}/mlruns/mlflow.db"),
        launcher=trials,
        machine=machine(),
        company=Company(),
        observer=listener,
        interrupts=interrupts,
        on_beat=lambda: None,
    )
    return workplace, listener
