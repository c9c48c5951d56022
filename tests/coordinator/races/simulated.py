"""A study whose races are run among simulated contestants: its books, its ground and what it says are real."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from autotune.coordinator import standing as standing_module
from autotune.coordinator.admission import MemoryAdmission
from autotune.coordinator.books import Books
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.opening.planning import plan_of
from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.races.ground import RaceGround
from autotune.coordinator.races.in_study import RacedSpeeds
from autotune.coordinator.races.log import RaceLog
from autotune.coordinator.session import Session
from autotune.coordinator.speeds import Floor
from autotune.coordinator.standing import standing_of
from autotune.coordinator.tickets import Ticket
from autotune.events import Rehearsal, Scalar
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.engines import configure_engine
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.files import StudyFiles
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.records import Records
from autotune.search.races import RaceStudy
from autotune.search.resolve import resolve_space
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.load import parse_spec
from autotune.speed.knobs.table import KNOBS
from autotune.trial.launcher import Launcher
from autotune.trial.leases import DevicePool, Lease
from tests.coordinator.retraining.instant import InstantTrials, Listener
from tests.coordinator.simulated import PassingClock
from tests.machines import machine
from tests.speed.simulated import Cost, Setting, SimulatedArena, SimulatedContestant, SimulatedMachine

CostOf = Callable[[Mapping[str, Scalar], Setting], Cost]
"""What a step costs with these learning parameters and this setting."""


class _WaitingArena(SimulatedArena):
    """Lets its coordinator wait for each contestant."""

    def __init__(
        self,
        cost: Callable[[Setting], Cost],
        *,
        memory_bytes: int | None,
        on_wait: Callable[[], None],
        limits: list[float],
    ) -> None:
        super().__init__(cost, machine=SimulatedMachine(memory_bytes=memory_bytes))
        self._on_wait = on_wait
        self.limits = limits

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        self.limits.append(limit_seconds)
        self._on_wait()
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


class SimulatedGround(RaceGround):
    """Its contestants are computed; ``raced`` keeps the batch sizes of its races, in order."""

    raced: list[Scalar]
    limits: list[float]
    """How many seconds each start had at most, in order."""
    cost: CostOf
    device_bytes: int | None = None
    """What all contestants of a race may hold together; None for enough."""

    @property
    def gpu_bytes(self) -> int | None:
        """The device is a GPU where it has a memory of its own."""
        return self.device_bytes

    @contextmanager
    def arena(  # type: ignore[override]  # contestants are no processes
        self, learning: Mapping[str, Scalar], *, lease: Lease, on_wait: Callable[[], None], seconds: float | None = None
    ) -> Iterator[SimulatedArena]:
        del lease, seconds
        self.raced.append(learning["batch_size"])
        yield _WaitingArena(
            lambda setting: self.cost(learning, setting),
            memory_bytes=self.device_bytes,
            on_wait=on_wait,
            limits=self.limits,
        )


class RacingStudy:
    """A study in a database of its own, an hour old; ``said`` is what a person was told."""

    def __init__(
        self, folder: Path, *, spec: str, cost: CostOf, monkeypatch: pytest.MonkeyPatch, name: str, jobs: int
    ) -> None:
        self.clock = PassingClock()
        monkeypatch.setattr(standing_module, "time", self.clock)
        self.said: list[str] = []
        self._folder = folder
        self._jobs = jobs
        file = parse_spec(spec, origin="raced.yaml", folder=folder)
        space = resolve_space(file, machine=machine(), num_cores=4)
        pool = DevicePool(["cpu"], cores=(0, 1, 2, 3), jobs=jobs)
        self._lease = pool.acquire()
        self._stage = Stage(machine(), "cpu", pool, KNOBS, space, Rehearsal(metric_names=("val_loss",)))
        self._url = f"sqlite:///{folder}/autotune.db"
        self.records = Records(open_database(self._url, create=True))
        self._storage = open_storage(self._url, configure_engine=configure_engine)
        plan = plan_of(file.spec, space=space, jobs=jobs)
        Search.create(name, storage=self._storage, plan=plan)
        new = NewStudy(
            name=name, task=file.spec.task, spec_text="", spec_json=file.spec.model_dump_json(), seed=file.spec.seed
        )
        study = self.records.create_study(new)
        self.books = Books(
            study=study,
            spec=file.spec,
            records=self.records,
            search=Search.open(name, storage=self._storage, plan=plan),
            publisher=Publisher(self._url, study=name, tracking_uri="sqlite:///never.db"),
            files=StudyFiles.of(study, root=folder),
            lease=StudyLease.acquire(self.records, study=study),
            environment_id=EnvironmentRecords(self.records.engine).add(machine()),
            git_commit=None,
            is_contended=jobs > 1,
        )
        self.standing = standing_of(study, spec=file.spec, rows=(), storage="")
        self.clock.pass_seconds(3600)
        # The launcher is for processes, and there are none.
        launcher = Launcher.__new__(Launcher)
        self.ground = SimulatedGround(
            file.spec, name=name, stage=self._stage, launcher=launcher, folder=folder, knobs=KNOBS
        )
        self.ground.raced, self.ground.limits, self.ground.cost = [], [], cost
        heats = RaceStudy(name, storage=self._storage, values=self.ground.values)
        self.log = RaceLog(self.records, heats=heats, study=study)
        self.start_again()

    def start_again(self) -> None:
        """What the study's next start knows of its races is what is written down."""
        self.fitting = Fitting(self.books.spec, machine=machine(), knobs=KNOBS, device="cpu", has_shared_devices=False)
        self.speeds = self.make_speeds()
        self.speeds.load()
        admission = MemoryAdmission(self.books, fitting=self.fitting)
        self.ledger = Ledger(self.books, standing=self.standing, speeds=self.speeds, admission=admission)

    def make_speeds(self) -> RacedSpeeds:
        """Where its speed parameters come from, before anything is read."""
        return RacedSpeeds(
            self.books,
            ground=self.ground,
            log=self.log,
            space=self._stage.space,
            standing=self.standing,
            fitting=self.fitting,
            note=self.said.append,
        )

    def ask(self) -> Ticket:
        """The study's next trial, which has the device to itself."""
        assert self._lease is not None
        ticket = self.ledger.ask(Floor(self._lease, is_alone=True, clear=lambda: None, on_wait=lambda _: None))
        assert ticket is not None
        return ticket

    def train(
        self,
        number: int,
        *,
        batch_size: int,
        is_alone: bool = True,
        clear: Callable[[], None] = lambda: None,
        on_wait: Callable[[], None] = lambda: None,
        **learning: Scalar,
    ) -> dict[str, Scalar]:
        """The parameters of a trial with this batch size and these others; a race is run for it if need be."""
        assert self._lease is not None
        floor = Floor(self._lease, is_alone=is_alone, clear=clear, on_wait=lambda _: on_wait())
        proposed = learning | {"batch_size": batch_size}
        self.speeds.measure(number, proposed, floor=floor)
        return self.speeds.complete(number, proposed, lease=self._lease)

    def run(self, trials: InstantTrials, *, interrupts: Interrupts, observer: Listener | None = None) -> None:
        """One start of the study, from its first launch to its last trial's end."""
        self.start_again()
        Session(
            ledger=self.ledger,
            launcher=trials,
            pool=DevicePool(["cpu"], cores=(0, 1, 2, 3), jobs=self._jobs),
            observer=Listener() if observer is None else observer,
            interrupts=interrupts,
            deadlines=self.books.spec.deadlines,
        ).run()

    @property
    def charged_seconds(self) -> float:
        """What the database says that races took so far."""
        return self.records.study(self.books.study.name).speed_seconds

    def close(self) -> None:
        self.records.engine.dispose()
        self._storage.engine.dispose()


@contextmanager
def racing_study(
    folder: Path,
    *,
    spec: str,
    cost: CostOf,
    monkeypatch: pytest.MonkeyPatch,
    name: str = "raced",
    jobs: int = 1,
) -> Iterator[RacingStudy]:
    """A study that is closed at the end."""
    with closing(RacingStudy(folder, spec=spec, cost=cost, monkeypatch=monkeypatch, name=name, jobs=jobs)) as study:
        yield study
