"""Several coordinators share one study on PostgreSQL; SQLite refuses the second (``test_two_coordinators.py``)."""

import os
import signal
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy import update
from typing_extensions import override

from autotune.cli.display.plain import PlainDisplay
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.opening.order import StartOrder
from autotune.coordinator.opening.refusals import check_existing
from autotune.coordinator.session import Session
from autotune.coordinator.speeds import Floor
from autotune.coordinator.tickets import Ticket
from autotune.coordinator.upkeep.deletion import delete_study
from autotune.errors import LeaseLostError, StudyHeldError
from autotune.events import Finished, Outcome, TrialOrder
from autotune.recording import tables, transactions
from autotune.recording.crew import Crew as Group
from autotune.recording.database import open_database
from autotune.recording.engines import configure_engine
from autotune.recording.lease import StudyLease
from autotune.recording.places import Places
from autotune.recording.records import Records
from autotune.recording.rows import TrialRow
from autotune.report.watching.following import Follower
from autotune.search.storage import open_storage
from autotune.spec.load import load_spec
from autotune.trial.launcher import Arrival, Exited, TrialProcess
from autotune.trial.leases import DevicePool, Lease
from benchmarks.simulated import Silent, SimulatedTrials, simulated_ledger, simulated_session
from tests.coordinator.simulated import PassingClock, lose_trial
from tests.e2e.home import SPEC as TINY
from tests.e2e.home import TASK, make_home, runs_of
from tests.machines import machine
from tests.recording.beating import beating
from tests.reports import make_report
from tests.trial.listening import wait_until

FLOOR = Floor(Lease("cpu", None, ()), is_alone=False, clear=lambda: None, on_wait=lambda _: None)
CHECKOUT = Path(__file__).parents[2]
NUM_WORKERS = 8
NUM_QUEUED = int(os.environ.get("AUTOTUNE_QUEUED", "32"))
"""120 take a minute or two on busy cores."""
SHARED = (
    TINY.replace("tiny.py:Tiny", "tiny.py:Gated")
    .replace("confirm: {repeats: 0}", "confirm: {repeats: 2}")
    .replace("baseline: {optimizer: adam, lr: 1e-2", "baseline: {optimizer: adam, lr: 1e-3")
    .replace("{metric: val_accuracy, direction: maximize}", "{metric: val_loss, direction: minimize}")
    .replace("epochs: 3", "epochs: 1")
    .replace("sampler: {tpe: {startup_trials: 2}}", "sampler: random")
)
"""Its baseline learns next to nothing, so that there is a winner to confirm, the same one in whatever order."""


@dataclass
class Crew:
    """Coordinators that run, and what they said."""

    process: "subprocess.Popen[str]"
    launched: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Numbers of trials by the process id of their coordinator."""
    over: set[int] = field(default_factory=set)

    def hear(self) -> bool:
        """The next line; false when there is none."""
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        if len(words) == 3 and words[1] == "launched":
            self.launched[int(words[0])].append(int(words[2]))
        if len(words) == 3 and words[1] == "over":
            assert words[2] == "True"
            self.over.add(int(words[0]))
        return bool(words)

    def finish(self) -> list[int]:
        """The numbers of all trials that were launched, as often as they were."""
        while self.hear():
            pass
        assert self.process.wait() == 0
        return sorted(number for numbers in self.launched.values() for number in numbers)


@contextmanager
def crew_of(num_workers: int, url: str, spec: Path, *, trials: int, epochs: int = 2, fatal: int = -1) -> Iterator[Crew]:
    """Coordinators that all start at once; the one that has the fatal trial is killed."""
    numbers = map(str, (trials, epochs, num_workers, fatal))
    command = [sys.executable, "-m", "tests.faults.sharer", url, str(spec), *numbers]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline().endswith("ready\n")
            process.stdin.write("go\n")
            process.stdin.flush()
            yield Crew(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def run_alone(url: str, spec: Path, *, trials: int) -> None:
    """A start of the study by this process, to its end."""
    file = load_spec(str(spec), overrides=[f"budget.trials={trials}"])
    with simulated_session(file, storage=url, machine=machine(), trials=SimulatedTrials(num_epochs=1)) as session:
        assert session.run()


def trials_of(url: str, *, name: str = "study") -> tuple[TrialRow, ...]:
    records = Records(open_database(url, create=False))
    rows = records.trials(records.study(name))
    records.engine.dispose()
    return rows


def numbers_in_optuna(url: str) -> list[tuple[int, bool]]:
    storage = open_storage(url, configure_engine=configure_engine)
    study = optuna.load_study(study_name="study", storage=storage)
    numbers = [(trial.number, trial.state.is_finished()) for trial in study.trials]
    storage.engine.dispose()
    return numbers


@pytest.mark.postgres
def test_queued_trials_are_each_run_once(postgres_url: str, spec: Path) -> None:
    """Optuna's own workers claim some of them twice on a database that does not see to it.

    One more was cut off while it was claimed: it is in Optuna's tables alone, and counts.
    """
    run_alone(postgres_url, spec, trials=1)
    queue(postgres_url, count=NUM_QUEUED, and_cut_off=1)

    with crew_of(NUM_WORKERS, postgres_url, spec, trials=NUM_QUEUED + 2, epochs=1) as crew:
        launched = crew.finish()

    rows = trials_of(postgres_url)
    assert launched == list(range(1, NUM_QUEUED + 2))
    assert [row.parameters["width"] for row in rows[1:-1]] == [8 + number % 57 for number in range(NUM_QUEUED)]
    assert all(row.is_over for row in rows)


class Crowded(SimulatedTrials):
    """The first launch of trial 1 finds its device's memory held by other programs; each wait takes five seconds."""

    def __init__(self, clock: PassingClock) -> None:
        super().__init__(num_epochs=1)
        self._clock = clock

    @override
    def launch(self, order: TrialOrder) -> TrialProcess:
        process = super().launch(order)
        if [each.number for each in self.orders].count(1) == 1 == order.number:
            self.kill(process)
        return process

    @override
    def wait(self, timeout: float) -> list[Arrival]:
        self._clock.pass_seconds(5.0)
        last_word = Finished(outcome=Outcome.INTERRUPTED, reason="no room", is_crowded=True)
        arrivals = super().wait(timeout)
        ends = [arrival for arrival in arrivals if isinstance(arrival.event, Exited) and arrival.event.signal]
        return [Arrival(end.process, last_word) for end in ends] + arrivals


@pytest.mark.postgres
def test_trial_that_waits_for_memory_is_its_coordinators_still(
    postgres_url: str, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would claim it like one that is nobody's, and train it twice at a time."""
    clock = PassingClock()
    monkeypatch.setattr("autotune.coordinator.session.time", clock)
    trials, file = Crowded(clock), load_spec(str(spec), overrides=["budget.trials=5"])
    with simulated_session(file, storage=postgres_url, machine=machine(), trials=trials) as session:
        assert session.run()

    launched = [order.number for order in trials.orders]
    assert sorted(launched) == [0, 1, 1, 2, 3, 4]
    assert launched[2] == 2, "others are trained meanwhile"
    outcomes = [row.outcome for row in trials_of(postgres_url)]
    assert [outcome in {Outcome.COMPLETE, Outcome.PRUNED} for outcome in outcomes] == [True] * 5


@pytest.mark.postgres
def test_trial_that_ran_out_is_known_to_all_coordinators_on_machines_like_its_own(
    postgres_url: str, spec: Path
) -> None:
    """Each of them launched its like once more."""
    file = load_spec(str(spec), overrides=["budget.trials=5"])
    start = partial(simulated_ledger, file, storage=postgres_url, pool=DevicePool(["cpu"], cores=(), jobs=1))
    with (
        start(machine=machine()) as one,
        start(machine=machine(hostname="elsewhere")) as other,
        start(machine=machine(hostname="faster", version="2.14.0")) as third,
    ):
        for ledger in (one, other, third):
            ledger.unfinished()
        lost = lose_trial(one)
        refusals = []
        for ledger in (other, third):
            ledger.hear_of_others()
            again = ledger.take_up(Ticket(replace(lost.row, number=4)), floor=FLOOR)
            refusals.append(again.refusal is not None)
    assert refusals == [True, False]


@pytest.mark.postgres
def test_baseline_that_a_warm_start_has_asked_for_is_trained(postgres_url: str, spec: Path) -> None:
    """Its coordinator took it for one of those that it trains already, and the study never ended."""
    file, pool = load_spec(str(spec), overrides=["budget.trials=2"]), DevicePool(["cpu"], cores=(), jobs=1)
    with (
        Interrupts() as interrupts,
        simulated_ledger(file, storage=postgres_url, machine=machine(), pool=pool) as ledger,
    ):
        interrupts.wake_with(lambda: None)
        ledger.ask()
        session = Session(
            ledger=ledger,
            launcher=SimulatedTrials(num_epochs=1),
            pool=pool,
            observer=Silent(),
            interrupts=interrupts,
            deadlines=file.spec.deadlines,
        )
        assert session.run()
    assert [(row.number, row.is_over) for row in trials_of(postgres_url)] == [(0, True), (1, True)]


@pytest.mark.postgres
def test_ends_of_others_are_counted_that_came_before_a_dead_coordinator_was_buried(
    postgres_url: str, spec: Path, open_records: Callable[[str], Records]
) -> None:
    """The look at all rows that follows a burial passed them over, so that a worse trial was the best from then on."""
    file = load_spec(str(spec), overrides=["budget.trials=5"])
    start = partial(simulated_ledger, file, storage=postgres_url, pool=DevicePool(["cpu"], cores=(), jobs=1))
    with start(machine=machine()) as one, start(machine=machine()) as other:
        for ledger in (one, other):
            ledger.unfinished()
        baseline = other.ask()
        assert baseline is not None
        other.record_launch(baseline, pid=1, device="cpu")
        one.hear_of_others()
        other.record_reports([(baseline, make_report(1, metrics={"val_accuracy": 0.75}))])
        other.record_end(baseline, Finished(outcome=Outcome.COMPLETE))
        dead = open_records(postgres_url)
        token = Group.join(dead, study=dead.study("study")).token
        with transactions.write(dead.engine) as connection:
            connection.execute(update(tables.lease).where(tables.lease.c.token == token).values(birth="gone"))

        for _ in range(2):
            one.hear_of_others()
            view = one.standing.view(num_running=0)
            assert (view.best_number, view.best_value, dict(view.outcomes)) == (0, 0.75, {"complete": 1})


@pytest.mark.postgres
def test_trials_of_a_killed_coordinator_are_gone_on_with_by_the_others(postgres_url: str, spec: Path) -> None:
    """Else they would be RUNNING for ever, and the study would end with fewer trials than its budget.

    All three start at once on an empty database, which one of them makes.
    """
    with crew_of(3, postgres_url, spec, trials=12, epochs=4, fatal=0) as crew:
        launched = crew.finish()

    rows = trials_of(postgres_url)
    assert len(crew.over) == 2
    assert launched == sorted([*range(12), 0])
    assert [(row.number, row.is_over) for row in rows] == [(number, True) for number in range(12)]
    assert numbers_in_optuna(postgres_url) == [(number, True) for number in range(12)]


@pytest.mark.postgres
def test_coordinator_that_seemed_dead_writes_no_more(
    postgres_url: str, spec: Path, open_records: Callable[[str], Records]
) -> None:
    """It was frozen, the others have its trials; one result of each must stand."""
    run_alone(postgres_url, spec, trials=3)
    frozen, other = (open_records(postgres_url) for _ in range(2))
    study = frozen.study("study")
    Group.join(frozen, study=study)
    with transactions.write(frozen.engine) as connection:
        connection.execute(update(tables.lease).values(host="another host"))
    awake = Group.join(other, study=study, stale_seconds=0.2)
    trial = frozen.trials(study)[0]

    assert not awake.bury()  # seen for the first time: no clock but the observer's own says for how long it stands
    assert wait_until(awake.bury)

    with pytest.raises(LeaseLostError, match="study"):
        frozen.count_restart(trial)
    other.count_restart(trial)


@pytest.mark.postgres
def test_study_is_started_although_the_host_of_its_last_confirmation_died(
    postgres_url: str, spec: Path, open_records: Callable[[str], Records]
) -> None:
    """No counter was looked at, so that no start was let in any more, however long it waited."""
    run_alone(postgres_url, spec, trials=1)
    confirming, starting = (open_records(postgres_url) for _ in range(2))
    study = starting.study("study")
    lease = StudyLease.acquire(confirming, study=study)
    with transactions.write(starting.engine) as connection:
        connection.execute(update(tables.lease).values(host="another host"))
    one_at_a_time = r"study study: one coordinator at a time, held by pid \d+"
    with beating(lease), pytest.raises(StudyHeldError, match=one_at_a_time):
        Group.join(starting, study=study, stale_seconds=10.0)

    Group.join(starting, study=study, stale_seconds=0.2)
    starting.touch_study(study)
    with pytest.raises(LeaseLostError, match="study"):
        confirming.touch_study(study)


@pytest.mark.postgres
def test_race_is_run_by_one_coordinator_for_each_kind_of_machine(
    postgres_url: str, spec: Path, open_records: Callable[[str], Records]
) -> None:
    """Two races of one workload would find the same."""
    run_alone(postgres_url, spec, trials=1)
    both = [open_records(postgres_url) for _ in range(2)]
    first, second = (Group.join(records, study=records.study("study")) for records in both)
    with (
        first.race_right("gpu") as has_first,
        second.race_right("gpu") as has_same,
        second.race_right("cpu") as has_cpu,
    ):
        assert (has_first, has_same, has_cpu) == (True, False, True)
    with second.race_right("gpu") as has_right:
        assert has_right


@pytest.mark.postgres
def test_throughput_is_no_objective_of_two_coordinators_on_one_machine(
    postgres_url: str, spec: Path, open_records: Callable[[str], Records]
) -> None:
    """Each would slow the other's trials, whose throughputs would stand in one Pareto front with those of the rest."""
    both = (
        "objectives: [{metric: val_accuracy, direction: maximize}, {metric: samples_per_second, direction: maximize}]"
    )
    spec.write_text(spec.read_text().replace("objective: {metric: val_accuracy, direction: maximize}", both))
    run_alone(postgres_url, spec, trials=1)
    records = open_records(postgres_url)
    Group.join(records, study=records.study("study"))
    rule = rf"^study study: samples_per_second is compared .*, got a coordinator here \(pid {os.getpid()}\); start this"

    places = Places(storage=postgres_url, tracking_uri="sqlite:///mlflow.db")
    order = StartOrder(file=load_spec(str(spec)), name="study", places=places)
    with pytest.raises(StudyHeldError, match=rule):
        check_existing(order, observer=Silent())
    with pytest.raises(StudyHeldError, match=rule):  # two that start at once both pass that
        run_alone(postgres_url, spec, trials=1)

    with transactions.write(records.engine) as connection:
        connection.execute(update(tables.lease).values(host="another host"))
    check_existing(order, observer=Silent())
    run_alone(postgres_url, spec, trials=1)


@pytest.mark.postgres
def test_study_with_coordinators_is_not_deleted_and_keeps_its_spec(
    postgres_url: str, spec: Path, open_records: Callable[[str], Records]
) -> None:
    run_alone(postgres_url, spec, trials=2)
    records = open_records(postgres_url)
    Group.join(records, study=records.study("study"))

    with pytest.raises(StudyHeldError, match=r"study study: it has coordinators, held by pid .* stop that one first"):
        delete_study(postgres_url, name="study", tracking_uri="")
    trials = SimulatedTrials()
    with (
        pytest.raises(StudyHeldError, match="its spec stays while others run it, got another spec"),
        simulated_session(
            load_spec(str(spec), overrides=["budget.trials=9"]), storage=postgres_url, machine=machine(), trials=trials
        ),
    ):
        pass


GATED = """
from pathlib import Path


class Gated(Tiny):
    calls = 0

    def forward(self, model, batch):
        Gated.calls += 1  # a rehearsal has two
        while Gated.calls > 2 and not Path(GATE).exists():
            time.sleep(0.02)
        return super().forward(model, batch)
"""


@pytest.mark.postgres
def test_second_start_joins_the_study_and_one_of_them_confirms_its_winner(
    postgres_url: str, tmp_path: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else the winner would be confirmed by each, or by one that others are not done yet for."""
    home = make_home(tmp_path, store=empty_store)
    gate = tmp_path / "gate"
    (tmp_path / "tiny.py").write_text(f"{TASK}\nGATE = {str(gate)!r}\n{GATED}")
    (tmp_path / "tiny.yaml").write_text(SHARED)
    command = ("study", "start", "tiny.yaml", "--storage", postgres_url, "--no-progress")
    first = home.start(*command)
    home.wait_for("trial 0 trains")
    second = home.start(*command)
    home.wait_for("trial 1 trains")
    watched = watch(postgres_url, capsys)
    gate.touch()

    assert (first.wait(timeout=100), second.wait(timeout=100)) == (0, 0)
    assert [f"coordinator {process.pid} on" in watched for process in (first, second)] == [True, True]
    said = home.output
    assert said.count(f"study tiny is run by pid {first.pid} on {socket.gethostname()} already: this coordinator") == 1
    assert said.count("confirming trial") == 1
    assert [row.is_over for row in trials_of(postgres_url, name="tiny")] == [True] * 4
    assert [row.is_over for row in trials_of(postgres_url, name="tiny.confirm")] == [True] * 4
    assert sorted(runs_of(tmp_path, "tiny")) == [0, 1, 2, 3]


def watch(url: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``study watch`` says at its first look."""
    follower = Follower(url, name="tiny", observer=PlainDisplay())
    follower.begin()
    assert follower.look()
    follower.close()
    return capsys.readouterr().err


def queue(url: str, *, count: int, and_cut_off: int) -> None:
    """As the dashboard does: trials that wait in Optuna's tables; and some that somebody has claimed and died."""
    storage = open_storage(url, configure_engine=configure_engine)
    study_id = storage.get_study_id_from_name("study")
    for number in range(count):
        attributes = {"fixed_params": {"lr": 0.01, "width": 8 + number % 57}}
        storage.create_new_trial(study_id, create_trial(state=TrialState.WAITING, system_attrs=attributes))
    for _ in range(and_cut_off):
        storage.create_new_trial(study_id, create_trial(state=TrialState.RUNNING))
    storage.engine.dispose()
