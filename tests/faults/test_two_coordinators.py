"""Two coordinators of one study: the second is told who has it, and takes over what a dead one had."""

import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from autotune.coordinator.opening.order import StartOrder
from autotune.coordinator.start import start_study
from autotune.errors import StudyHeldError
from autotune.recording import tables, transactions
from autotune.recording.lease import StudyLease
from autotune.recording.places import Places
from autotune.recording.records import Records
from autotune.spec.load import load_spec
from benchmarks.simulated import Silent, SimulatedTrials, simulated_session
from tests.e2e.home import histories_of, rows_of, wait_until
from tests.faults.gated import make_gated_home, open_gates, wait_for_held_trial
from tests.machines import machine
from tests.processes import running
from tests.trial.listening import is_gone

HOLD = """
import sys, time
shift = float(sys.argv[2])
own = time.time
time.time = lambda: own() + shift
from autotune.recording.database import open_database
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
records = Records(open_database(sys.argv[1], create=False))
lease = StudyLease.acquire(records, study=records.study("study"))
print("held", flush=True)
for line in sys.stdin:
    lease.beat()
    print("beaten", flush=True)
"""


def holder(url: str, *, shift_seconds: float = 0.0) -> AbstractContextManager["subprocess.Popen[str]"]:
    """A process that has the study, with a wall clock of its own."""
    return running(HOLD, url, str(shift_seconds), says="held")


@pytest.fixture
def sqlite_study(tmp_path: Path, spec: Path) -> str:
    url = f"sqlite:///{tmp_path / 'autotune.db'}"
    with simulated_session(load_spec(str(spec)), storage=url, machine=machine(), trials=SimulatedTrials()):
        pass
    return url


def test_second_coordinator_on_sqlite_is_told_who_has_the_study_and_since_when(sqlite_study: str, spec: Path) -> None:
    """Before torch is imported, and before anything is written."""
    places = Places(storage=sqlite_study, tracking_uri="sqlite:///mlflow.db")
    order = StartOrder(file=load_spec(str(spec)), name="study", places=places)
    with holder(sqlite_study) as process:
        who = (
            rf"study study: one coordinator at a time, held by pid {process.pid} on \S+ since \d\d:\d\d; stop that one"
        )
        with pytest.raises(StudyHeldError, match=who):
            start_study(order, observer=Silent())


@pytest.mark.parametrize("shift_seconds", [-3600.0, 3600.0])
def test_dead_holder_is_taken_over_after_its_counter_stood_still_whatever_its_clock_says(
    shift_seconds: float, sqlite_study: str, open_records: Callable[[str], Records]
) -> None:
    """A clock that is an hour ahead would keep the study for an hour, one that is behind would lose it at once."""
    records = open_records(sqlite_study)
    study = records.study("study")
    with holder(sqlite_study, shift_seconds=shift_seconds) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with transactions.write(records.engine) as connection:
            connection.execute(update(tables.lease).values(host="another host"))
        beating = threading.Thread(target=beat_until_refused, args=(process,))
        beating.start()
        with pytest.raises(StudyHeldError, match=f"held by pid {process.pid}"):
            StudyLease.acquire(records, study=study, stale_seconds=30.0)
        process.kill()
        beating.join()

        StudyLease.acquire(records, study=study, stale_seconds=0.5).beat()


def beat_until_refused(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        while True:
            process.stdin.write("beat\n")
            process.stdin.flush()
            if not process.stdout.readline():
                break
    with suppress(BrokenPipeError):  # it tries once more to hand over what the dead one did not take
        process.stdin.close()


TAKE_OVER = """
from autotune.cli.main import main
from autotune.recording.lease import StudyLease
StudyLease.acquire.__func__.__kwdefaults__["stale_seconds"] = 0.5
main()
"""
"""The program, for which a counter stands still sooner than for others."""


def stop_outside_of_transactions(process: "subprocess.Popen[str]", database: Path) -> None:
    """SIGSTOP: one that stands in the middle of a transaction holds SQLite's lock, and nobody could take over."""
    process.send_signal(signal.SIGSTOP)
    while not move_elsewhere(database):
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGSTOP)


def move_elsewhere(database: Path) -> bool:
    """Whether the holder of the lease is on another host now, where nobody here sees that its process lives."""
    with closing(sqlite3.connect(database, isolation_level=None, timeout=0.5)) as connection:
        try:
            connection.execute("UPDATE autotune_lease SET host = 'another host'")
        except sqlite3.OperationalError:
            return False
        return True


@pytest.mark.slow
def test_coordinator_that_is_stopped_loses_its_study_and_ends_when_it_wakes(tmp_path: Path) -> None:
    """Its trial trains on before it wakes: that one's checkpoint is refused, and all that the coordinator writes."""
    home = make_gated_home(tmp_path, trials=2, epochs=5)
    first = home.start("study", "start", "tiny.yaml")
    wait_for_held_trial(tmp_path).unlink()
    wait_until(lambda: "trial 1 " in home.output, timeout=50, what="the second trial")
    held = wait_for_held_trial(tmp_path)
    stop_outside_of_transactions(first, tmp_path / "autotune.db")
    (stopped_trial,) = (int(gate.name.removeprefix("held-")) for gate in tmp_path.glob("held-*"))
    trials = psutil.Process(first.pid).children(recursive=True)

    with (tmp_path / "second.txt").open("w") as output:
        second = subprocess.Popen(
            [sys.executable, "-c", TAKE_OVER, "study", "start", "tiny.yaml"], cwd=tmp_path, stdout=output, stderr=output
        )
    wait_until(lambda: len(list(tmp_path.glob("held-*"))) == 2, timeout=50, what="the second one's trial")
    held.unlink()
    wait_until(lambda: is_gone(stopped_trial), timeout=45, what="the end of the trial that has lost its checkpoint")
    open_gates(tmp_path)
    wait_for_held_trial(tmp_path).unlink()
    assert second.wait(timeout=50) == 0
    said = (tmp_path / "second.txt").read_text()
    assert "trial 1 goes on" in said, said
    rows, histories = rows_of(tmp_path, "tiny"), histories_of(tmp_path, "tiny")
    told = len(home.output)

    first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=50) == 1
    assert re.fullmatch(
        r"Error: study tiny: this coordinator seemed dead, and \w+.* taken it over; its trials are ended, .*\n",
        home.output[told:],
    )
    wait_until(lambda: all(is_gone(each.pid) for each in trials), timeout=45, what="the end of the first one's trials")
    assert rows_of(tmp_path, "tiny") == rows
    assert histories_of(tmp_path, "tiny") == histories
    assert [row.outcome for row in rows] == ["complete"] * 2
    assert [len(history) for history in histories] == [5] * 2
    assert optuna_states(tmp_path / "autotune.db") == ["COMPLETE"] * 2


def optuna_states(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM trials ORDER BY number")]
