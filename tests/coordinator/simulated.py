"""A coordinator in a thread: real session, ledger, search, records and lease; its trials are simulated.

It is advanced one step at a time, and can be frozen where any transaction begins, to go on later or
to be killed there.
"""

import itertools
import math
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from optuna.storages import RDBStorage
from sqlalchemy import Connection, Engine, event, update
from typing_extensions import override

from autotune.coordinator.admission import MemoryAdmission
from autotune.coordinator.books import Books
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.observer import StudyView, TrialView
from autotune.coordinator.session import Session
from autotune.coordinator.speeds import JointSpeeds
from autotune.coordinator.standing import standing_of
from autotune.coordinator.tickets import Ticket
from autotune.events import EpochReport, Event, Finished, Outcome, Progress, Scalar, Started, Stop, TrialOrder
from autotune.recording import tables
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.engines import configure_engine
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.files import StudyFiles
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.records import Records
from autotune.recording.rows import StudyState
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.model import Budget
from autotune.trial.launcher import Arrival, Exited, Launcher, TrialProcess
from autotune.trial.leases import DevicePool
from tests.machines import machine
from tests.report.study_book import make_spec
from tests.reports import make_report
from tests.search.spaces import conditional_space, plan_for, score

NAME = "study"
NUM_TRIALS = 5
NUM_EPOCHS = 3
NUM_JOBS = 2

SPACE = conditional_space()
PLAN = plan_for(SPACE, pruner="successive_halving", epochs=NUM_EPOCHS, jobs=NUM_JOBS)

_DEADLINE_SECONDS = 15.0
_pids = itertools.count(1_000_000)


class KilledError(BaseException):
    """This coordinator's process is gone: nothing of it may catch this."""


@dataclass
class Acknowledged:
    """What a person was told, over all coordinators: none of it may be lost or changed."""

    parameters: dict[int, dict[str, Scalar]] = field(default_factory=dict)
    reports: dict[tuple[int, int], float] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    def study_opened(self, study: StudyView) -> None:
        """Nothing of a trial."""

    def note(self, line: str) -> None:
        """Nothing that must last."""

    def trial_launched(self, trial: TrialView, study: StudyView) -> None:
        del study
        assert self.parameters.setdefault(trial.number, dict(trial.parameters)) == trial.parameters
        assert trial.number not in self.outcomes, "an ended trial was launched again"

    def trial_started(self, number: int, event: Started) -> None:
        """Nothing that must last."""

    def trial_progressed(self, number: int, event: Progress) -> None:
        """Nothing that must last."""

    def trial_reported(self, number: int, report: EpochReport, study: StudyView) -> None:
        del study
        assert (number, report.epoch) not in self.reports, "an epoch was told twice"
        self.reports[number, report.epoch] = report.metrics["val_accuracy"]

    def trial_ended(self, number: int, finished: Finished, study: StudyView) -> None:
        del study
        if finished.outcome is not Outcome.INTERRUPTED:
            assert number not in self.outcomes, "a trial ended twice"
            self.outcomes[number] = finished.outcome

    def ticked(self, study: StudyView) -> None:
        """Nothing that must last."""


@dataclass
class Told(Acknowledged):
    """The same, and every line besides."""

    lines: list[str] = field(default_factory=list)

    @override
    def note(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class SimulatedTrial:
    """A trial's process: trains in no time, when it is told to."""

    process: TrialProcess
    parameters: dict[str, Scalar]
    checkpoints: dict[int, int]
    """Last epoch by trial number, on the disk that all processes share."""
    stop: Stop | None = None
    has_begun: bool = False
    is_gone: bool = False

    @property
    def number(self) -> int:
        return self.process.number

    @property
    def is_trained(self) -> bool:
        return self.has_begun and self.checkpoints.get(self.number, 0) >= NUM_EPOCHS

    def begin(self) -> list[Event | Exited]:
        """That it trains, and again all reports that its checkpoint carries; nothing the second time."""
        if self.has_begun:
            return []
        self.has_begun = True
        epochs_done = self.checkpoints.get(self.number, 0)
        started = Started(in_force={}, device="cpu", setup_seconds=0.1, epochs_done=epochs_done)
        return [started, *(self.report(epoch) for epoch in range(1, epochs_done + 1))]

    def train(self) -> list[Event | Exited]:
        """An epoch: its checkpoint first, then its report."""
        said = self.begin()
        epoch = self.checkpoints.get(self.number, 0) + 1
        if epoch > NUM_EPOCHS:
            return said
        self.checkpoints[self.number] = epoch
        return [*said, self.report(epoch)]

    def report(self, epoch: int) -> EpochReport:
        """Depends on parameters and epoch alone, as on a CPU."""
        accuracy = score(self.parameters) * epoch / NUM_EPOCHS
        return make_report(epoch, metrics={"val_accuracy": math.nan if self.number == 3 and epoch == 3 else accuracy})

    def end(self, outcome: Outcome) -> list[Event | Exited]:
        """Its last word."""
        self.is_gone = True
        return [Finished(outcome=outcome, reason=f"trial {self.number} ended"), Exited(0, signal=None)]

    def die(self) -> list[Event | Exited]:
        """Without a word, by signal 9."""
        self.is_gone = True
        return [Exited(137, signal=9)]


class SimulatedLauncher(Launcher):
    """Starts trials that are simulated, and hears what it is handed."""

    def __init__(self, checkpoints: dict[int, int], *, wait: Callable[[], list[Arrival]]) -> None:
        self._checkpoints = checkpoints
        self._wait = wait
        self.trials: list[SimulatedTrial] = []
        self._killed: list[SimulatedTrial] = []

    def launch(self, order: TrialOrder) -> TrialProcess:
        process = TrialProcess(order.number, pid=next(_pids))
        assert all(trial.is_gone or trial.number != order.number for trial in self.trials), "a trial runs twice"
        self.trials.append(SimulatedTrial(process, dict(order.parameters), self._checkpoints))
        return process

    def wait(self, timeout: float) -> list[Arrival]:
        del timeout
        killed, self._killed = self._killed, []
        return [Arrival(trial.process, said) for trial in killed for said in trial.die()] or self._wait()

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        for trial in self.trials:
            if trial.process == process:
                trial.stop = stop

    def kill(self, process: TrialProcess, *, grace_seconds: float = 5.0, is_to_tell_where: bool = False) -> None:
        del grace_seconds, is_to_tell_where
        self._killed += [trial for trial in self.trials if trial.process == process and not trial.is_gone]


class Wish(Interrupts):
    """To stop, without a signal."""

    is_wished = False

    @property
    def should_stop(self) -> bool:
        return self.is_wished


class SimulatedCoordinator:
    """One start of the study. It runs in its own thread, and only while somebody waits for it."""

    def __init__(self, folder: Path, *, acknowledged: Acknowledged, checkpoints: dict[int, int]) -> None:
        self._folder = folder
        self._acknowledged = acknowledged
        self.launcher = SimulatedLauncher(checkpoints, wait=self._hand_over)
        self._wish = Wish()
        self._orders: queue.Queue[list[Arrival] | None] = queue.Queue()
        self._answers: queue.Queue[str] = queue.Queue()
        self._freeze_after: int | None = None
        self._fail_write_after: int | None = None
        self.has_failed = False
        """The write that was to fail came, and failed."""
        self._is_killed = False
        self._engines: list[Engine] = []
        self.token: str | None = None
        self.error: BaseException | None = None
        self.is_complete = False
        self.state = "new"
        self._thread = threading.Thread(target=self._run, name="simulated coordinator", daemon=True)

    @property
    def is_over(self) -> bool:
        return self.state == "over"

    @property
    def is_frozen(self) -> bool:
        return self.state == "frozen"

    def start(self, *, freeze_after: int | None = None) -> None:
        """Begin; ``freeze_after`` so many transactions have begun, counted from here."""
        self._freeze_after = freeze_after
        self._thread.start()
        self._await()

    def hear(self, trial: SimulatedTrial | None, events: Sequence[Event | Exited]) -> None:
        """Let it hear what a trial says, and wait until it listens again."""
        assert self.state == "waiting"
        self._orders.put([Arrival(trial.process, said) for said in events] if trial is not None else [])
        self._await()

    def freeze_after(self, count: int) -> None:
        """Be frozen where the transaction after the next ``count`` begins."""
        self._freeze_after = count

    def fail_write_after(self, count: int) -> None:
        """Let the database refuse the statement that writes after the next ``count``."""
        self._fail_write_after = count

    def thaw(self) -> None:
        """Go on."""
        assert self.is_frozen
        self._orders.put([])
        self._await()

    def wish_to_stop(self) -> None:
        """Ctrl-C, once."""
        self._wish.is_wished = True

    def kill(self) -> None:
        """End it where it is: no line of it runs any more, and its process is seen to be gone."""
        if not self.is_over:
            self._is_killed = True
            self._orders.put(None)
            self._await()
        self.seem_dead()

    def seem_dead(self) -> None:
        """Let others find the lease's holder gone, as a host that stood still for too long is."""
        engine = open_database(study_url(self._folder), create=False)
        with engine.begin() as connection:
            mine = tables.lease.c.token == self.token
            connection.execute(update(tables.lease).where(mine).values(birth="gone"))
        engine.dispose()

    def _await(self) -> None:
        self.state = self._answers.get(timeout=_DEADLINE_SECONDS)

    def _hand_over(self) -> list[Arrival]:
        return self._pause("waiting")

    def _pause(self, state: str) -> list[Arrival]:
        self._answers.put(state)
        arrivals = self._orders.get(timeout=_DEADLINE_SECONDS)
        if arrivals is None:
            raise KilledError
        return arrivals

    def _on_checkout(self, *connection: object) -> None:
        """A transaction will begin on a connection of the pool; it holds no lock yet."""
        del connection
        if self._is_killed:
            raise KilledError
        if self._freeze_after is not None:
            self._freeze_after -= 1
            if self._freeze_after < 0:
                self._freeze_after = None
                self._pause("frozen")

    def _on_statement(self, connection: Connection, cursor: sqlite3.Cursor, statement: str, *rest: object) -> None:
        del connection, rest
        if self._fail_write_after is None or not statement.lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
            return
        self._fail_write_after -= 1
        if self._fail_write_after < 0:
            self._fail_write_after = None
            self.has_failed = True
            # The statement ends with an error of SQLite's own, which undoes the transaction.
            cursor.connection.set_progress_handler(lambda: 1, 1)

    def _watch(self, engine: Engine) -> None:
        event.listen(engine, "checkout", self._on_checkout)
        event.listen(engine, "before_cursor_execute", self._on_statement)
        self._engines.append(engine)

    def _run(self) -> None:
        try:
            self.is_complete = self._train()
        except BaseException as error:  # noqa: BLE001 - whoever waits looks at it
            self.error = error
        finally:
            for engine in self._engines:
                engine.dispose()
            self._answers.put("over")

    def _train(self) -> bool:
        url = study_url(self._folder)
        records = Records(open_database(url, create=False))
        self._watch(records.engine)
        storage = open_storage(url, configure_engine=configure_engine)
        self._watch(storage.engine)
        lease = StudyLease.acquire(records, study=records.study(NAME))
        self.token = lease.token
        books = make_books(records, storage, folder=self._folder, lease=lease)
        session = Session(
            ledger=make_ledger(books),
            launcher=self.launcher,
            pool=DevicePool(["cpu"], cores=(), jobs=NUM_JOBS),
            observer=self._acknowledged,
            interrupts=self._wish,
            deadlines=books.spec.deadlines,
        )
        is_complete = session.run()
        if is_complete:
            records.set_state(books.study, state=StudyState.COMPLETE)
        books.lease.release()
        return is_complete


class PassingClock(SimpleNamespace):
    """Time as a session sees it: ``pass_seconds`` moves it on."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead_seconds = 0.0

    def pass_seconds(self, seconds: float) -> None:
        self._ahead_seconds += seconds

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead_seconds


def make_study(folder: Path) -> None:
    """The study in a new database in ``folder``, with no trial."""
    url = study_url(folder)
    records = Records(open_database(url, create=True))
    storage = open_storage(url, configure_engine=configure_engine)
    Search.create(NAME, storage=storage, plan=PLAN)
    storage.engine.dispose()
    spec = make_spec(budget=Budget(trials=NUM_TRIALS, epochs=NUM_EPOCHS))
    new = NewStudy(name=NAME, task=spec.task, spec_text="", spec_json=spec.model_dump_json(), seed=7)
    records.create_study(new)
    records.engine.dispose()


def make_books(records: Records, storage: RDBStorage, *, folder: Path, lease: StudyLease) -> Books:
    """The books of the study that ``make_study`` made."""
    study = records.study(NAME)
    return Books(
        study=study,
        spec=study.spec,
        records=records,
        search=Search.open(NAME, storage=storage, plan=PLAN),
        publisher=Publisher(study_url(folder), study=NAME, tracking_uri="sqlite:///never.db"),
        files=StudyFiles.of(study, root=folder),
        lease=lease,
        environment_id=EnvironmentRecords(records.engine).add(machine()),
        git_commit=None,
    )


@contextmanager
def open_books(folder: Path) -> Iterator[Books]:
    """The books of a study that is made in the folder, held by a lease for as long."""
    make_study(folder)
    records = Records(open_database(study_url(folder), create=False))
    storage = open_storage(study_url(folder), configure_engine=configure_engine)
    lease = StudyLease.acquire(records, study=records.study(NAME))
    try:
        yield make_books(records, storage, folder=folder, lease=lease)
    finally:
        lease.release()
        for engine in (records.engine, storage.engine):
            engine.dispose()


def make_ledger(books: Books) -> Ledger:
    standing = standing_of(books.study, spec=books.spec, rows=books.records.trials(books.study), storage="")
    fitting = Fitting(books.spec, machine=machine(), knobs={}, device="cpu", has_shared_devices=True)
    admission = MemoryAdmission(books, fitting=fitting)
    return Ledger(books, standing=standing, speeds=JointSpeeds(), admission=admission)


def study_url(folder: Path) -> str:
    return f"sqlite:///{folder}/autotune.db"


def lose_trial(ledger: Ledger) -> Ticket:
    """Trial 1 of a new study, which runs out of memory."""
    ledger.ask()
    lost = ledger.ask()
    assert lost is not None
    ledger.record_launch(lost, pid=1, device="cpu")
    ledger.record_end(lost, Finished(outcome=Outcome.INFEASIBLE, reason="out of memory", is_out_of_memory=True))
    return lost
