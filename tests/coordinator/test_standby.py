"""The next trial's process is started beside the last one where cores are free, and has its trial if it fits."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from optuna.study import load_study

from autotune.coordinator.admission import Admission, AdmitAll
from autotune.coordinator.books import Books
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.running import RunningTrials
from autotune.coordinator.session import Session
from autotune.coordinator.speeds import JointSpeeds
from autotune.coordinator.standby import Standby
from autotune.coordinator.standing import standing_of
from autotune.coordinator.tickets import Refusal
from autotune.events import Event, Finished, OnStandby, Outcome, Scalar, Started, Stop, TrialOrder
from autotune.recording.rows import TrialRow
from autotune.search.study import Search
from autotune.trial.launcher import Arrival, Exited, TrialProcess
from autotune.trial.leases import DevicePool, Lease
from tests.coordinator.simulated import (
    NAME,
    NUM_EPOCHS,
    NUM_TRIALS,
    Told,
    Wish,
    open_books,
)
from tests.reports import make_report

ASKED = ("batch_size", "num_workers")


@dataclass
class Processes:
    """Stands where the launcher stands: one trial trains, and another one may wait for its turn."""

    answer: tuple[Event | Exited, ...] = (OnStandby(asked=ASKED),)
    """What a process that was launched ahead says."""
    setup_seconds: float = 0.5
    killed: frozenset[int] = frozenset()
    """Numbers of trials whose first process is killed as it trains."""
    on_wait: Callable[[], None] = lambda: None
    done: list[str] = field(default_factory=list)
    """What was done to processes, in order."""
    trained: dict[int, dict[str, Scalar]] = field(default_factory=dict)
    _said: deque[Arrival] = field(default_factory=deque)
    _training: dict[TrialProcess, Iterator[list[Event | Exited]]] = field(default_factory=dict)
    _pids: int = 1_000_000

    def launch(self, order: TrialOrder) -> TrialProcess:
        self.done.append(f"launch {order.number}")
        process = self._new(order)
        self._training[process] = self._train(order)
        return process

    def launch_ahead(self, order: TrialOrder) -> TrialProcess:
        self.done.append(f"ahead {order.number}")
        process = self._new(order)
        assert not Path(order.folder).exists()
        self._said.extend(Arrival(process, event) for event in self.answer)
        return process

    def begin(self, process: TrialProcess, *, order: TrialOrder) -> None:
        self.done.append(f"begin {order.number}")
        self._training[process] = self._train(order)

    def wait(self, timeout: float) -> list[Arrival]:
        del timeout
        self.on_wait()
        said = [*self._said]
        self._said.clear()
        return said + [Arrival(each, event) for each, train in self._training.items() for event in next(train, [])]

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        self._training[process] = iter([[Finished(outcome=stop.outcome, reason=stop.reason), Exited(0, signal=None)]])

    def kill(self, process: TrialProcess, *, grace_seconds: float = 5.0, is_to_tell_where: bool = False) -> None:
        del is_to_tell_where
        assert grace_seconds == 0
        self.done.append(f"kill {process.number}")
        self._said.append(Arrival(process, Exited(137, signal=9)))

    def _new(self, order: TrialOrder) -> TrialProcess:
        self._pids += 1
        return TrialProcess(order.number, pid=self._pids)

    def _train(self, order: TrialOrder) -> Iterator[list[Event | Exited]]:
        is_killed = order.number in self.killed and order.number not in self.trained
        self.trained[order.number] = dict(order.parameters)
        if not self.answer and f"begin {order.number}" in self.done:
            yield [OnStandby(asked=ASKED)]  # it did not wait before its turn came, and goes on at once
        yield [Started(in_force={}, device=order.device, setup_seconds=self.setup_seconds)]
        yield []
        if is_killed:
            yield [Exited(137, signal=9)]
        for epoch in range(1, NUM_EPOCHS + 1):
            # Whoever is later is better, so that none is pruned.
            yield [make_report(epoch, metrics={"val_accuracy": order.number / 10})]
        yield [Finished(outcome=Outcome.COMPLETE), Exited(0, signal=None)]


def run(
    folder: Path,
    processes: Processes,
    *,
    cores: int = 4,
    jobs: int = 1,
    device: str = "cuda:0",
    wish: Wish | None = None,
    admission: Admission | None = None,
) -> tuple[TrialRow, ...]:
    """The trials of a study that is trained with these processes."""
    with open_books(folder) as books:
        session = Session(
            ledger=ledger_of(books, admission=admission),
            launcher=processes,
            pool=DevicePool([device], cores=range(cores), jobs=jobs),
            observer=Told(),
            interrupts=wish or Wish(),
            deadlines=books.spec.deadlines,
        )
        session.run()
        return books.records.trials(books.study)


def ledger_of(books: Books, *, admission: Admission | None = None) -> Ledger:
    standing = standing_of(books.study, spec=books.spec, rows=(), storage="")
    return Ledger(books, standing=standing, speeds=JointSpeeds(), admission=admission or AdmitAll())


@pytest.fixture
def foresee(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a search foresee what it will propose, but for these parameters."""

    def foresee(**wrong: Scalar) -> None:
        actual = Search.foresee

        def foreseen(search: Search, *, like: Mapping[str, Scalar]) -> tuple[int, Mapping[str, Scalar]] | None:
            found = actual(search, like=like)
            return None if found is None else (found[0], {**found[1], **wrong})

        monkeypatch.setattr(Search, "foresee", foreseen)

    return foresee


IN_ONE_GO = ["launch 0", *(f"{what} {n}" for n in range(1, NUM_TRIALS) for what in ("ahead", "begin"))]
ANEW = ["launch 0", *(f"{what} {n}" for n in range(1, NUM_TRIALS) for what in ("ahead", "kill", "launch"))]


def test_each_trial_is_started_beside_the_one_before_it_and_goes_on_in_its_turn(
    tmp_path: Path, foresee: Callable[..., None]
) -> None:
    foresee(lr=0.123)  # the sampler has learned from the end of the trial before
    processes = Processes()
    rows = run(tmp_path, processes)
    assert processes.done == IN_ONE_GO
    assert [row.outcome for row in rows] == [Outcome.COMPLETE] * NUM_TRIALS
    assert processes.trained == {row.number: row.parameters for row in rows}
    assert all(row.parameters["lr"] != 0.123 for row in rows)


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [(ASKED, {"batch_size": 7}), (None, {"lr": 0.123}), (("crop",), {"crop": None}), (("lr", "width"), {"lr": 0.123})],
)
def test_process_that_has_looked_at_what_changed_is_ended(
    tmp_path: Path, foresee: Callable[..., None], asked: tuple[str, ...] | None, wrong: dict[str, Scalar]
) -> None:
    foresee(**wrong)
    processes = Processes((OnStandby(asked=asked),))
    rows = run(tmp_path, processes)
    assert processes.done == ANEW
    assert [row.outcome for row in rows] == [Outcome.COMPLETE] * NUM_TRIALS
    assert processes.trained == {row.number: row.parameters for row in rows}


def test_process_that_has_not_told_what_it_looked_at_has_its_trial_where_all_is_as_foreseen(
    tmp_path: Path, foresee: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = Processes(())
    first = run(tmp_path, processes)
    (tmp_path / "other").mkdir()
    by_number = {row.number: row.parameters for row in first}
    monkeypatch.setattr(Search, "foresee", lambda search, like: _next(search, by_number) if like else None)
    processes = Processes(())
    run(tmp_path / "other", processes)
    assert processes.done == IN_ONE_GO
    foresee(lr=0.123)
    (tmp_path / "third").mkdir()
    processes = Processes(())
    run(tmp_path / "third", processes)
    assert processes.done == ANEW


def _next(search: Search, parameters: Mapping[int, Mapping[str, Scalar]]) -> tuple[int, Mapping[str, Scalar]]:
    number = max(running.number for running in search.running()) + 1
    return number, parameters[number]


@pytest.mark.parametrize(
    "answer",
    [
        (Exited(139, signal=11),),
        (Finished(outcome=Outcome.FAILED, reason="no such picture"), Exited(0, signal=None)),
        (OnStandby(asked=ASKED), Exited(137, signal=9)),
    ],
)
def test_process_that_ends_before_its_turn_is_no_matter(tmp_path: Path, answer: tuple[Event | Exited, ...]) -> None:
    """Its trial, started in its turn, will tell why, if that happens again."""
    processes = Processes(answer)
    rows = run(tmp_path, processes)
    assert processes.done == ANEW
    assert [row.outcome for row in rows] == [Outcome.COMPLETE] * NUM_TRIALS


IN_TURNS = [f"launch {number}" for number in range(NUM_TRIALS)]


@pytest.mark.parametrize(("cores", "jobs", "device"), [(1, 1, "cuda:0"), (4, 2, "cuda:0"), (4, 1, "cpu")])
def test_none_is_started_ahead_where_no_core_is_free(tmp_path: Path, cores: int, jobs: int, device: str) -> None:
    """On a processor torch has a thread for each core, unless the trial says otherwise."""
    processes = Processes()
    run(tmp_path, processes, cores=cores, jobs=jobs, device=device)
    assert processes.done == IN_TURNS


@pytest.mark.parametrize(
    ("device", "running", "foreseen", "cores"),
    [
        ("cpu", {"torch_threads": 1}, {}, 2),
        ("cpu", {"torch_threads": 1, "num_workers": 1}, {"num_workers": 2}, 4),
        ("cpu", {"torch_threads": 2, "num_workers": 8, "cache": "memory"}, {"num_workers": 2, "cache": "device"}, 3),
        ("cuda:0", {"torch_threads": 4, "num_workers": 2}, {"num_workers": 2}, 5),
    ],
)
def test_cores_that_are_free_are_those_that_neither_threads_nor_workers_take(
    tmp_path: Path, device: str, running: dict[str, Scalar], foreseen: dict[str, Scalar], cores: int
) -> None:
    """One is enough for a process that has no worker, or of which each worker has one."""
    with open_books(tmp_path) as books:
        ledger = ledger_of(books)
        ticket = ledger.ask()
        assert ticket is not None
        books.search.foresee = lambda **_: (1, foreseen)  # type: ignore[method-assign]
        for num_cores, is_started in ((cores, True), (cores - 1, False)):
            pool, processes = DevicePool([device], cores=range(num_cores), jobs=1), Processes()
            lease = pool.acquire()
            assert lease is not None
            trial = replace(ticket, row=replace(ticket.row, parameters=running))
            trials = RunningTrials(processes)
            trials.add(trial, TrialProcess(0, pid=1), lease=lease, is_alone=False, now=0.0)
            trials.of_number(0).setup_seconds = 0.5
            standby = Standby(processes, ledger=ledger, pool=pool)
            standby.prepare(trials.of_number(0))
            assert processes.done == (["ahead 1"] if is_started else [])
            standby.drop()


@pytest.mark.parametrize(
    ("setup_seconds", "foreseen", "is_started"),
    [
        (0.05, {"num_workers": 0}, False),
        (0.15, {"num_workers": 0}, True),
        (0.05, {"num_workers": 1}, True),
        (0.05, {"num_workers": 0, "cache": "memory"}, True),
        (0.05, {"num_workers": 1, "cache": "device"}, False),
        (0.05, {"num_workers": 1, "pin_memory": True}, False),
    ],
)
def test_none_is_started_ahead_where_that_would_save_next_to_nothing(
    tmp_path: Path, foresee: Callable[..., None], setup_seconds: float, foreseen: dict[str, Scalar], *, is_started: bool
) -> None:
    """Nor where all there is to start would start CUDA."""
    foresee(**foreseen)
    processes = Processes(setup_seconds=setup_seconds)
    run(tmp_path, processes)
    assert processes.done[1] == ("ahead 1" if is_started else "launch 1")


def test_none_is_started_ahead_where_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autotune.coordinator.standby.available_host_bytes", lambda: 49)
    monkeypatch.setattr("autotune.coordinator.standby.host_memory_bytes", lambda: 100)
    processes = Processes()
    run(tmp_path, processes)
    assert processes.done == IN_TURNS


class RefuseTrial2(AdmitAll):
    def refusal(  # type: ignore[override]
        self, number: int, *, parameters: Mapping[str, Scalar], lease: Lease
    ) -> Refusal | None:
        del parameters, lease
        return Refusal("predicted not to fit", is_crowded=False) if number == 2 else None


def test_trial_that_will_not_be_launched_is_not_started_ahead(tmp_path: Path) -> None:
    processes = Processes()
    rows = run(tmp_path, processes, admission=RefuseTrial2())
    assert processes.done == ["launch 0", "ahead 1", "begin 1", "launch 3", "ahead 4", "begin 4"]
    assert rows[2].outcome is Outcome.INFEASIBLE


def test_none_is_started_ahead_where_others_train_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autotune.coordinator.company.Company.others", lambda _: ("study other",))
    processes = Processes()
    run(tmp_path, processes)
    assert processes.done == IN_TURNS


def test_none_is_started_ahead_where_it_would_change_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial beside it loses some hundredths of its throughput, others don't."""
    monkeypatch.setattr("autotune.coordinator.ledger.compares_speed", lambda _: True)
    processes = Processes()
    run(tmp_path, processes)
    assert processes.done == IN_TURNS


def test_trial_that_is_started_again_has_nothing_beside_it(tmp_path: Path, foresee: Callable[..., None]) -> None:
    """Memory that ran out is what mostly kills a process."""
    foresee(lr=0.123)
    processes = Processes(killed=frozenset({1}))
    rows = run(tmp_path, processes)
    assert processes.done[:7] == ["launch 0", "ahead 1", "begin 1", "ahead 2", "kill 2", "launch 1", "launch 2"]
    assert processes.done[7:] == IN_ONE_GO[5:]
    assert [row.outcome for row in rows] == [Outcome.COMPLETE] * NUM_TRIALS


def test_study_that_stops_ends_the_process_that_waits_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    wish = Wish()

    def stop_beside() -> None:
        wish.is_wished = "ahead 2" in processes.done

    processes = Processes(on_wait=stop_beside)
    rows = run(tmp_path, processes, wish=wish)
    assert processes.done[-2:] == ["ahead 2", "kill 2"]
    assert [row.number for row in rows] == [0, 1]
    assert {path.name for path in tmp_path.glob("*/trial-*")} == {"trial-00000", "trial-00001"}


def test_error_ends_the_process_that_waits(tmp_path: Path) -> None:
    def fail() -> None:
        if "ahead 2" in processes.done:
            raise KeyError("a fault of the session's")

    processes = Processes(on_wait=fail)
    with pytest.raises(KeyError, match="a fault of the session's"):
        run(tmp_path, processes)
    assert processes.done[-2:] == ["ahead 2", "kill 2"]


def test_queued_trial_is_not_foreseen(tmp_path: Path) -> None:
    """Somebody queues it in the dashboard while a process waits: that one is of no use, and neither is another."""
    queued: list[bool] = []

    def queue() -> None:
        if "ahead 1" in processes.done and not queued:
            queued.append(True)
            study = load_study(study_name=NAME, storage=f"sqlite:///{tmp_path}/autotune.db")
            for size in (16, 64):
                study.enqueue_trial({"batch_size": size})

    processes = Processes((OnStandby(asked=None),), on_wait=queue)
    run(tmp_path, processes)
    assert processes.done[:5] == ["launch 0", "ahead 1", "kill 1", "launch 1", "launch 2"]
    assert processes.trained[1]["batch_size"] == 16
    assert processes.trained[2]["batch_size"] == 64
