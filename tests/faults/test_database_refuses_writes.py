"""One fault each: the database takes no writes for a while. Nothing acknowledged is lost, and the cause is named."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from autotune.errors import InputError, LeaseLostError, StorageError
from autotune.outages import waiting_out
from autotune.recording.backup import back_up_database
from autotune.recording.database import open_database
from autotune.recording.engines import configure_optuna_engine
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
from autotune.search.storage import open_storage
from autotune.search.study import Search
from tests.coordinator.simulated import NAME, PLAN, make_study
from tests.faults.disks import fill


class _Locker:
    """Another process's write transaction, which ends when somebody says that he waits."""

    def __init__(self, path: Path, statement: str | None = None) -> None:
        self.told: list[str] = []
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")
        if statement is not None:
            self._connection.execute(statement)

    def tell(self, line: str) -> None:
        self.told.append(line)
        if len(self.told) == 1:
            threading.Thread(target=self.release).start()

    def release(self) -> None:
        self._connection.commit()
        self._connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_study(tmp_path)
    return tmp_path / "autotune.db"


@pytest.fixture
def records(path: Path) -> Iterator[Records]:
    records = Records(open_database(f"sqlite:///{path}", create=False))
    yield records
    records.engine.dispose()


@pytest.fixture
def search(path: Path) -> Iterator[Search]:
    storage = open_storage(f"sqlite:///{path}", configure_engine=configure_optuna_engine)
    yield Search.open(NAME, storage=storage, plan=PLAN)
    storage.engine.dispose()


def test_database_locked_while_a_record_is_written(records: Records, path: Path) -> None:
    study = records.study(NAME)
    locker = _Locker(path)
    with waiting_out(locker.tell, attempt_seconds=0.05):
        records.set_seconds(study, seconds=3.0)
    assert records.study(NAME).elapsed_seconds == 3.0
    assert [line.partition(",")[0].partition(":")[0] for line in locker.told] == [
        "another process has the database locked",
        "the database takes records again",
    ]


def test_database_locked_while_optuna_writes(search: Search, path: Path) -> None:
    locker = _Locker(path)
    with waiting_out(locker.tell, attempt_seconds=0.05):
        proposal = search.ask()
    assert proposal is not None
    assert (proposal.number, len(locker.told)) == (0, 2)


def test_database_locked_for_good_ends_in_one_error_after_which_writing_goes_on(records: Records, path: Path) -> None:
    study = records.study(NAME)
    locker = _Locker(path)
    impatient = waiting_out(lambda _: None, attempt_seconds=0.02, limit_seconds=0.1)
    with impatient, pytest.raises(StorageError, match="the database stayed locked by another process; end that one"):
        records.set_seconds(study, seconds=3.0)
    locker.release()
    records.set_seconds(study, seconds=4.0)
    assert records.study(NAME).elapsed_seconds == 4.0


def test_database_locked_when_it_is_opened(path: Path) -> None:
    """A start looks whether the database takes writes, before anything else."""
    locker = _Locker(path)
    with waiting_out(locker.tell, attempt_seconds=0.05):
        open_database(f"sqlite:///{path}", create=True).dispose()
    assert len(locker.told) == 2


def test_database_locked_until_another_coordinator_has_the_lease(records: Records, path: Path) -> None:
    """Waiting is no way around the lease: it is looked at when the write's turn has come."""
    study = records.study(NAME)
    StudyLease.acquire(records, study=study)
    locker = _Locker(path, "UPDATE autotune_lease SET token = 'another'")
    with waiting_out(locker.tell, attempt_seconds=0.05), pytest.raises(LeaseLostError):
        records.set_seconds(study, seconds=3.0)


def test_disk_full_under_the_database(small_disk: Path) -> None:
    """Else Optuna says that it got invalid data."""
    make_study(small_disk)
    url = f"sqlite:///{small_disk}/autotune.db"
    records = Records(open_database(url, create=False))
    storage = open_storage(url, configure_engine=configure_optuna_engine)
    search = Search.open(NAME, storage=storage, plan=PLAN)
    study = records.study(NAME)
    records.set_seconds(study, seconds=1.0)
    fill(small_disk)
    with pytest.raises(StorageError, match=r"the disk is full .*; make room, and start again"):
        _ask_on(search)
    with pytest.raises(StorageError, match=r"the disk is full"):
        _add_on(records)
    before = records.study(NAME).elapsed_seconds
    (small_disk / "filler").unlink()
    records.set_seconds(study, seconds=before + 1.0)
    assert records.study(NAME).elapsed_seconds == before + 1.0
    asked = Search.open(NAME, storage=storage, plan=PLAN).ask()
    assert asked is not None
    with records.engine.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    records.engine.dispose()
    storage.engine.dispose()


def _ask_on(search: Search) -> None:
    for _ in range(1000):
        search.ask()


def _add_on(records: Records) -> None:
    for _ in range(1000):
        study = records.study(NAME)
        records.set_seconds(study, seconds=study.elapsed_seconds + 1.0)


def test_no_backup_is_left_half_made_on_a_full_disk(small_disk: Path, path: Path) -> None:
    fill(small_disk)
    with pytest.raises(InputError, match=r"a backup needs a folder with room for it, got database or disk is full"):
        back_up_database(f"sqlite:///{path}", file=small_disk / "saved.db")
    assert [each.name for each in small_disk.iterdir()] == ["filler"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
