"""Trials that others leave no memory for, on a simulated GPU; session, ledger, search and records are real."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace
from typing import TypeAlias

import pynvml
import pytest

from autotune.coordinator.admission import MemoryAdmission
from autotune.coordinator.crowds import PAUSES
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.session import Session
from autotune.coordinator.speeds import JointSpeeds
from autotune.coordinator.standing import standing_of
from autotune.events import Event, Finished, Outcome, Scalar, Started, Stop, TrialOrder
from autotune.recording.database import open_database
from autotune.recording.engines import configure_engine
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
from autotune.recording.rows import TrialRow, TrialStatus
from autotune.search.storage import open_storage
from autotune.speed.knobs import KNOBS
from autotune.training.machine.crowding import DeviceMemory, crowding
from autotune.trial.launcher import Arrival, Exited, TrialProcess
from autotune.trial.leases import DevicePool
from tests.coordinator.simulated import (
    NAME,
    NUM_EPOCHS,
    NUM_TRIALS,
    Told,
    Wish,
    make_books,
    make_study,
    study_url,
)
from tests.machines import machine
from tests.report.study_book import make_spec
from tests.reports import make_report

GIB = 2**30
TOTAL = 8
"""GiB of the GPU of ``tests.machines``."""
SMALL = 3.5
LARGE = (5.0, 5.0, 5.0)
"""Fits beside no other one of these, nor beside what holds 4 GiB, but alone."""
LARGE_BYTES = round(LARGE[0] * GIB)


@dataclass(frozen=True)
class Launch:
    """A start of a trial's process."""

    number: int
    at: float
    beside: tuple[int, ...]
    """Trials that ran then."""


class Clock(SimpleNamespace):
    """Time as the session sees it, which the trials' steps alone move on: a busy machine is none the later."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Gpu:
    """Stands where the launcher stands: trials that hold memory of one GPU, a step every five seconds.

    One that finds too little says what a real one says by its end (``training/process/run.py``).
    """

    clock: Clock
    needs: dict[int, tuple[float, ...]]
    """GiB in each epoch by trial number; small ones where it is not named."""
    foreign: Callable[[float], float]
    """GiB that other programs hold at that time."""
    held: dict[int, float] = field(default_factory=dict)
    launches: list[Launch] = field(default_factory=list)
    on_wait: Callable[[], None] = lambda: None
    _pids: int = 1_000_000
    _trials: dict[int, tuple[TrialProcess, Iterator[list[Event | Exited]]]] = field(default_factory=dict)

    @property
    def used(self) -> float:
        return sum(self.held.values()) + self.foreign(self.clock.seconds)

    def launch(self, order: TrialOrder) -> TrialProcess:
        process = self.launch_ahead(order)
        self.begin(process, order=order)
        return process

    def launch_ahead(self, order: TrialOrder) -> TrialProcess:
        self._pids += 1
        return TrialProcess(order.number, pid=self._pids)

    def begin(self, process: TrialProcess, *, order: TrialOrder) -> None:
        number = order.number
        self.launches.append(Launch(number, self.clock.seconds, beside=tuple(self._trials)))
        self._trials[number] = process, self._train(number, rank=len(self.launches))

    def wait(self, timeout: float) -> list[Arrival]:
        del timeout
        self.clock.seconds += 5.0
        self.on_wait()
        return [arrival for number in list(self._trials) for arrival in self._step(number)]

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        last_word = Finished(outcome=stop.outcome, reason=stop.reason)
        self._trials[process.number] = process, iter([[last_word, Exited(0, signal=None)]])

    def kill(self, process: TrialProcess, *, grace_seconds: float = 5.0, is_to_tell_where: bool = False) -> None:
        del grace_seconds, is_to_tell_where
        assert all(process != running for running, _ in self._trials.values()), "no trial hangs"

    def _step(self, number: int) -> Iterator[Arrival]:
        process, said = self._trials[number]
        for event in next(said):
            if isinstance(event, Exited):
                del self._trials[number]
                self.held.pop(number, None)
            yield Arrival(process, event)

    def _train(self, number: int, *, rank: int) -> Iterator[list[Event | Exited]]:
        """Whoever is launched later is better, so that none is pruned."""
        yield [Started(in_force={}, device="cuda:0", setup_seconds=0.1)]
        for epoch in range(1, NUM_EPOCHS + 1):
            need = self.needs.get(number, (SMALL,) * NUM_EPOCHS)[epoch - 1]
            own = self.held.pop(number, 0.0)
            if self.used + need > TOTAL:
                yield [
                    out_of_memory(free=TOTAL - self.used - own, own=own, requested=need - own),
                    Exited(0, signal=None),
                ]
            self.held[number] = need
            yield []
            yield [make_report(epoch, metrics={"val_accuracy": rank / 100}, peak_memory_bytes=round(need * GIB))]
        yield [Finished(outcome=Outcome.COMPLETE), Exited(0, signal=None)]


def out_of_memory(*, free: float, own: float, requested: float) -> Finished:
    crowd = crowding(DeviceMemory(*(round(size * GIB) for size in (TOTAL, free, own, requested))))
    if crowd is not None:
        return Finished(outcome=Outcome.INTERRUPTED, reason=crowd, is_crowded=True)
    return Finished(outcome=Outcome.INFEASIBLE, reason="out of memory", is_out_of_memory=True)


@dataclass
class Scene:
    """A study in a folder, whose starts find that GPU."""

    folder: Path
    clock: Clock
    gpu: Gpu
    told: Told = field(default_factory=Told)
    wish: Wish = field(default_factory=Wish)
    fitting: Fitting = field(
        default_factory=lambda: Fitting(
            make_spec(), machine=machine(num_gpus=1), knobs=KNOBS, device="cuda", has_shared_devices=False
        )
    )

    def start(self, *, jobs: int) -> bool:
        """Whether the budget was used up."""
        records = Records(open_database(study_url(self.folder), create=False))
        storage = open_storage(study_url(self.folder), configure_engine=configure_engine)
        lease = StudyLease.acquire(records, study=records.study(NAME))
        books = make_books(records, storage, folder=self.folder, lease=lease)
        standing = standing_of(books.study, spec=books.spec, rows=records.trials(books.study), storage="")
        admission = MemoryAdmission(books, fitting=self.fitting)
        session = Session(
            ledger=Ledger(books, standing=standing, speeds=JointSpeeds(), admission=admission),
            launcher=self.gpu,
            pool=DevicePool(["cuda:0"], cores=(), jobs=jobs),
            observer=self.told,
            interrupts=self.wish,
            deadlines=books.spec.deadlines,
        )
        try:
            return session.run()
        finally:
            lease.release()
            storage.engine.dispose()
            records.engine.dispose()

    def rows_of(self, number: int) -> tuple[TrialStatus, Outcome | None] | None:
        """How a trial stands, if it is there."""
        return next(((row.status, row.outcome) for row in self.rows if row.number == number), None)

    @property
    def rows(self) -> tuple[TrialRow, ...]:
        records = Records(open_database(study_url(self.folder), create=False))
        rows = records.trials(records.study(NAME))
        records.engine.dispose()
        return rows

    def launches(self, number: int) -> list[Launch]:
        return [launch for launch in self.gpu.launches if launch.number == number]


SetScene: TypeAlias = Callable[..., Scene]


@pytest.fixture
def set_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetScene:
    """A new study, trials that need so much, and other programs that hold so much; NVML tells of them."""

    def scene(
        needs: dict[int, tuple[float, ...]] | None = None, *, foreign: Callable[[float], float] = lambda _: 0.0
    ) -> Scene:
        clock = Clock()
        gpu = Gpu(clock, needs or {}, foreign)
        monkeypatch.setattr("autotune.coordinator.session.time", clock)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
        used = lambda _: SimpleNamespace(used=round(gpu.used * GIB))  # noqa: E731 - as NVML calls it
        monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", used)
        make_study(tmp_path)
        return Scene(tmp_path, clock, gpu)

    return scene


def test_trial_that_ran_out_beside_another_is_trained_alone(set_scene: SetScene) -> None:
    """Started again beside it three times in a second, it failed."""
    scene = set_scene({1: LARGE})
    assert scene.start(jobs=2)

    first, second = scene.launches(1)
    assert (first.beside, second.beside) == ((0,), ())
    assert all(1 not in launch.beside for launch in scene.gpu.launches if launch.at > second.at)
    assert [row.outcome for row in scene.rows] == [Outcome.COMPLETE] * NUM_TRIALS
    assert max(len(launch.beside) for launch in scene.gpu.launches[-2:]) == 1, "the others share the device again"


def test_trials_that_fit_only_alone_are_trained_one_after_the_other(set_scene: SetScene) -> None:
    """The first three of them stopped the study: mend the task."""
    scene = set_scene(dict.fromkeys(range(NUM_TRIALS), LARGE))
    assert scene.start(jobs=2)
    assert [row.outcome for row in scene.rows] == [Outcome.COMPLETE] * NUM_TRIALS
    assert all(not row.is_out_of_memory for row in scene.rows)


def test_running_out_alone_is_a_limit_that_is_learned(set_scene: SetScene) -> None:
    scene = set_scene({1: (5.0, 9.0, 9.0)})
    assert scene.start(jobs=2)
    row = scene.rows[1]
    assert len(scene.launches(1)) == 2
    assert (row.outcome, row.is_out_of_memory, row.reason) == (Outcome.INFEASIBLE, True, "out of memory")


def test_trial_is_tried_again_after_growing_pauses_while_other_programs_fill_its_device(set_scene: SetScene) -> None:
    scene = set_scene({1: LARGE}, foreign=lambda _: 4.0)
    assert scene.start(jobs=1)

    row, launches = scene.rows[1], scene.launches(1)
    waited = [later.at - earlier.at for earlier, later in pairwise(launches)]
    assert len(launches) == len(PAUSES) + 1
    assert all(pause <= seconds for pause, seconds in zip(PAUSES, waited, strict=True))
    assert (row.outcome, row.is_out_of_memory, row.restarts) == (Outcome.INFEASIBLE, False, 0)
    assert row.reason is not None
    assert row.reason.startswith(
        "out of memory on a crowded device: other processes hold 4.0 GiB of 8.0 GiB, also after"
    )
    others = [launch for launch in scene.gpu.launches if launches[0].at < launch.at < launches[1].at]
    assert others, "smaller trials go on meanwhile"
    assert [row.outcome for row in scene.rows].count(Outcome.COMPLETE) == NUM_TRIALS - 1
    assert [number for number, outcome in scene.told.outcomes.items() if outcome is Outcome.FAILED] == []


def test_what_would_fit_without_other_programs_is_tried_and_not_refused(set_scene: SetScene) -> None:
    """It was recorded as infeasible, took a trial of the budget, and fifty of them ended the search."""
    scene = set_scene(dict.fromkeys(range(NUM_TRIALS), LARGE), foreign=lambda seconds: 4.0 if seconds < 100 else 0.0)
    shapes = product(("sgd", "adam", "adagrad"), ("for_loop", "foreach", "fused"), (1, 2, 3))
    for index, (optimizer, implementation, accumulate) in enumerate(shapes):
        shape: dict[str, Scalar] = {
            "optimizer": optimizer,
            "optimizer_impl": implementation,
            "accumulate": accumulate,
        }
        for number, batch_size in ((100 + index, 16), (200 + index, 96)):
            scene.fitting.learn(number, parameters=shape | {"batch_size": batch_size}, peak_bytes=LARGE_BYTES)
    assert scene.start(jobs=1)

    told = [line for line in scene.told.lines if "predicted not to fit" in line]
    assert told
    assert all("that other processes hold" in line and "; it starts in 30 s" in line for line in told)
    assert [row.outcome for row in scene.rows] == [Outcome.COMPLETE] * NUM_TRIALS


def test_trial_that_waits_for_memory_when_the_study_stops_goes_on_at_its_next_start(set_scene: SetScene) -> None:
    scene = set_scene({1: LARGE}, foreign=lambda seconds: 4.0 if seconds < 100 else 0.0)

    def stop_while_it_waits() -> None:
        scene.wish.is_wished |= scene.rows_of(1) == (TrialStatus.RUNNING, Outcome.INTERRUPTED)

    scene.gpu.on_wait = stop_while_it_waits
    assert not scene.start(jobs=1)
    assert scene.rows_of(1) == (TrialStatus.RUNNING, Outcome.INTERRUPTED)

    scene.clock.seconds, scene.wish, scene.gpu.on_wait = 200.0, Wish(), lambda: None
    assert scene.start(jobs=1)
    assert [row.outcome for row in scene.rows] == [Outcome.COMPLETE] * NUM_TRIALS
