"""Trials that only report, for a real coordinator on a real database: no process, no training."""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from autotune.coordinator.admission import MemoryAdmission
from autotune.coordinator.company import Company
from autotune.coordinator.fitting import make_fitting
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.observer import StudyView
from autotune.coordinator.opening.order import StartOrder
from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.opening.study import open_study
from autotune.coordinator.session import Session
from autotune.coordinator.speeds import FixedSpeeds
from autotune.coordinator.start import load_standing, make_ledger
from autotune.events import EpochReport, Event, Finished, Outcome, Rehearsal, Scalar, Started, Stop, TrialOrder
from autotune.hardware import Machine
from autotune.recording.places import Places
from autotune.search.resolve import resolve_space
from autotune.spec.load import SpecFile
from autotune.speed.knobs import KNOBS
from autotune.trial.launcher import Arrival, Exited, TrialProcess
from autotune.trial.leases import DevicePool


class Silent:
    """An observer that shows nothing."""

    def study_opened(self, study: StudyView) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def trial_launched(self, trial: object, study: StudyView) -> None:
        """Nothing."""

    def trial_started(self, number: int, event: Started) -> None:
        """Nothing."""

    def trial_progressed(self, number: int, event: object) -> None:
        """Nothing."""

    def trial_reported(self, number: int, report: EpochReport, study: StudyView) -> None:
        """Nothing."""

    def trial_ended(self, number: int, finished: Finished, study: StudyView) -> None:
        """Nothing."""

    def ticked(self, study: StudyView) -> None:
        """Nothing."""


@dataclass
class _Simulated:
    process: TrialProcess
    events: Iterator[Event | Exited]
    due: float
    stop: Stop | None = None
    is_told: bool = field(default=False)


class SimulatedTrials:
    """Stands where the launcher stands: each trial reports so often a second, at its own moments.

    A report is handed out once it is due. How long it then waited is known when the coordinator
    asks for the next ones: it has recorded it by then, and answered it.
    """

    def __init__(
        self, *, reports_per_second: float = math.inf, num_epochs: int | None = None, start_together: int = 1
    ) -> None:
        """No trials.

        Args:
            reports_per_second: Of each trial; as many as the coordinator takes where it is infinite.
            num_epochs: Reports of a whole trial; the order's where it is None.
            start_together: The first trials report from when so many were launched.
        """
        self._pause = 1 / reports_per_second
        self._start_together = start_together
        self._num_epochs = num_epochs
        self._running: dict[int, _Simulated] = {}
        self._handed_out: deque[float] = deque()
        self.orders: list[TrialOrder] = []
        self.waits: list[float] = []
        """Seconds from the moment at which a report was due until it had been dealt with."""
        self.first_launch: tuple[float, float] | None = None
        """Wall-clock and CPU seconds of this process when the first trial was launched."""

    def launch(self, order: TrialOrder) -> TrialProcess:
        """A trial that reports from now on."""
        self.first_launch = self.first_launch or (time.perf_counter(), time.process_time())
        self.orders.append(order)
        process = TrialProcess(order.number, pid=1_000_000 + len(self.orders))
        events = _events(order, num_epochs=self._num_epochs or order.epochs)
        self._running[order.number] = _Simulated(process, events, due=time.perf_counter())
        if len(self.orders) <= self._start_together:
            for trial in self._running.values():
                trial.due = time.perf_counter() + self._offset(trial.process.number)
        return process

    def launch_ahead(self, order: TrialOrder) -> TrialProcess:
        """Never: a trial leaves no core free."""
        raise AssertionError(order)

    def begin(self, process: TrialProcess, *, order: TrialOrder) -> None:
        """Never: no process waits."""
        raise AssertionError(process, order)

    def wait(self, timeout: float) -> list[Arrival]:
        """What is due by now; after ``timeout`` seconds at most."""
        now = time.perf_counter()
        self.waits.extend(now - due for due in self._handed_out)
        self._handed_out.clear()
        soonest = min((trial.due for trial in self._running.values()), default=now + timeout)
        if soonest > now:
            time.sleep(min(timeout, soonest - now))
        now = time.perf_counter()
        return [arrival for trial in list(self._running.values()) if trial.due <= now for arrival in self._say(trial)]

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        """The trial ends instead of its next report."""
        self._running[process.number].stop = stop

    def kill(self, process: TrialProcess, *, grace_seconds: float = 0.0, is_to_tell_where: bool = False) -> None:
        """The trial says no more."""
        del grace_seconds, is_to_tell_where
        self._running[process.number].events = iter([Exited(137, signal=9)])

    def _offset(self, number: int) -> float:
        """Trials don't report at one moment."""
        return 0 if self._pause == 0 else (number * 0.618034 % 1) * self._pause

    def _say(self, trial: _Simulated) -> Iterator[Arrival]:
        if trial.stop is not None and not trial.is_told:
            trial.is_told = True
            trial.events = iter(
                [Finished(outcome=trial.stop.outcome, reason=trial.stop.reason), Exited(0, signal=None)]
            )
        for event in trial.events:
            if isinstance(event, EpochReport):
                self._handed_out.append(trial.due)
            elif isinstance(event, Exited):
                del self._running[trial.process.number]
            yield Arrival(trial.process, event)
            if isinstance(event, EpochReport):
                break
        trial.due += self._pause


def _events(order: TrialOrder, *, num_epochs: int) -> Iterator[Event | Exited]:
    yield Started(in_force={}, device="cpu", setup_seconds=0.1)
    for epoch in range(1, num_epochs + 1):
        yield make_report(order.parameters, epoch=epoch, number=order.number)
    yield Finished(outcome=Outcome.COMPLETE, samples_per_second=4000.0)
    yield Exited(0, signal=None)


def make_report(parameters: Mapping[str, Scalar], *, epoch: int, number: int) -> EpochReport:
    """An epoch of a learning curve that hangs on the parameters, and a little on the number."""
    noise = (number * 0.618034 + epoch * 0.414214) % 1 / 50
    accuracy = (_quality(parameters) + noise) * (1 - math.exp(-epoch / 2))
    return EpochReport(
        epoch=epoch,
        step=63 * epoch,
        metrics={"train_loss": 1 - accuracy, "val_loss": 1 - accuracy, "val_accuracy": accuracy},
        lr=1e-3,
        samples=4000,
        seconds=1.0,
        samples_per_second=4000.0,
        data_wait_share=0.1,
        peak_memory_bytes=2**28,
        at=1_700_000_000.0 + epoch,
    )


def _quality(parameters: Mapping[str, Scalar]) -> float:
    """Between 0 and 1, best at a learning rate of 0.01 with many channels."""
    lr, width = parameters.get("lr", 1e-3), parameters.get("width", 16)
    assert isinstance(lr, float)
    assert isinstance(width, int)
    return (0.6 + width / 80) / (1 + 0.2 * (math.log10(lr) + 2) ** 2)


@contextmanager
def simulated_session(
    file: SpecFile, *, storage: str, machine: Machine, trials: SimulatedTrials, jobs: int = 1
) -> Iterator[Session]:
    """A start of the study, as ``autotune study start`` makes it, up to its first trial; without MLflow."""
    pool, observer = DevicePool(["cpu"], cores=(), jobs=jobs), Silent()
    with (
        Interrupts() as interrupts,
        simulated_ledger(file, storage=storage, machine=machine, pool=pool, jobs=jobs) as ledger,
    ):
        interrupts.wake_with(lambda: None)
        yield Session(
            ledger=ledger,
            launcher=trials,
            pool=pool,
            observer=observer,
            interrupts=interrupts,
            deadlines=file.spec.deadlines,
        )


@contextmanager
def simulated_ledger(
    file: SpecFile, *, storage: str, machine: Machine, pool: DevicePool, jobs: int = 1
) -> Iterator[Ledger]:
    """The ledger of such a start, among others of the study or not."""
    stage = Stage(
        machine=machine,
        device="cpu",
        pool=pool,
        knobs=KNOBS,
        space=resolve_space(file, machine=machine, num_cores=machine.num_cores),
        rehearsal=Rehearsal(metric_names=()),
    )
    order = StartOrder(file=file, name=file.name, places=Places(storage=storage, tracking_uri=""), jobs=jobs)
    with ExitStack() as stack:
        books = open_study(order, stage=stage, company=Company(), stack=stack, observer=Silent())
        admission = MemoryAdmission(books, fitting=make_fitting(books.spec, stage=stage, jobs=jobs))
        standing, speeds = load_standing(order, books), FixedSpeeds(stage.space)
        yield make_ledger(books, standing=standing, speeds=speeds, admission=admission)
