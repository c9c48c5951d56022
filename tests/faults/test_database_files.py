"""One fault each: something is wrong with the file that studies live in, and nobody may take it for an empty one."""

import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import pytest
from sqlalchemy import create_engine, text

from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.upkeep.database import check_storage, upgrade
from autotune.errors import InputError, StorageError
from autotune.recording.backup import Backup, back_up_database
from autotune.recording.database import accept_copy, open_database
from autotune.recording.engines import configure_engine
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
from autotune.recording.schema_upgrade import upgrade_database
from autotune.recording.sqlite_file import mark_at_rest, mark_in_use
from autotune.recording.tables import HEAD_REVISION, VERSION_TABLE
from autotune.search.storage import open_storage
from tests.coordinator.simulated import NAME, make_study
from tests.e2e.home import Home, make_home
from tests.recording.migrating import migrate


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a study."""
    make_study(tmp_path)
    return tmp_path / "autotune.db"


@pytest.fixture
def running(path: Path) -> Iterator[Records]:
    """The same, held by a coordinator that has written since it began."""
    records = Records(open_database(_url(path), create=False))
    study = records.study(NAME)
    lease = StudyLease.acquire(records, study=study)
    mark_in_use(records.engine)
    records.set_seconds(study, seconds=7.0)
    yield records
    lease.release()
    mark_at_rest(records.engine)
    records.engine.dispose()


def _url(path: Path) -> str:
    return f"sqlite:///{path}"


def _elapsed(path: Path) -> float:
    records = Records(open_database(_url(path), create=False))
    seconds = records.study(NAME).elapsed_seconds
    records.engine.dispose()
    return seconds


def _execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def _copy_without_log(path: Path) -> Path:
    copy = path.parent / "elsewhere" / "autotune.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    return copy


@pytest.mark.parametrize("kept", [0, 100, 4096, 9000, 30000])
@pytest.mark.parametrize("create", [False, True])
def test_database_truncated(path: Path, kept: int, *, create: bool) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StorageError, match=rf"zero bytes|corrupt|must be an SQLite database.*cp BACKUP {path}`"):
        open_database(_url(path), create=create)
    assert path.stat().st_size == kept


@pytest.mark.parametrize("page", [1, 2, 5, 9])
def test_database_corrupt(path: Path, page: int) -> None:
    content = bytearray(path.read_bytes())
    content[page * 4096 : (page + 1) * 4096] = b"\xaa" * 4096
    path.write_bytes(content)
    with pytest.raises(
        StorageError, match=rf"the database is corrupt.*`rm -f {path}-wal {path}-shm; cp BACKUP {path}`"
    ):
        open_database(_url(path), create=True)


def test_database_copied_without_its_log(running: Records, path: Path) -> None:
    """Else the copy opens as if nothing had been written since the log was last moved into the file."""
    copy = _copy_without_log(path)
    assert running.study(NAME).elapsed_seconds == 7.0
    for create in (False, True):
        with pytest.raises(
            StorageError, match=r"copied with its log, got autotune.db without autotune.db-wal; copy both"
        ):
            open_database(_url(copy), create=create)
    accept_copy(_url(copy))
    assert _elapsed(copy) == 0.0


def test_database_copied_with_its_log(running: Records, path: Path) -> None:
    copy = _copy_without_log(path)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    assert running.study(NAME).elapsed_seconds == 7.0
    assert [_elapsed(copy), _elapsed(copy)] == [7.0, 7.0]
    assert not Path(f"{copy}-wal").exists()


def test_database_copied_after_its_study_ended(path: Path) -> None:
    records = Records(open_database(_url(path), create=False))
    lease = StudyLease.acquire(records, study=records.study(NAME))
    mark_in_use(records.engine)
    lease.release()
    mark_at_rest(records.engine)
    copy = _copy_without_log(path)  # while a connection is open
    assert _elapsed(copy) == 0.0
    records.engine.dispose()


def test_database_of_a_killed_coordinator_that_somebody_else_closed(running: Records, path: Path) -> None:
    """The last one to close it, a dashboard for example, moves the log into the file: all is there."""
    with running.engine.begin() as connection:
        connection.execute(text("UPDATE autotune_lease SET birth = 'gone'"))
    running.engine.dispose()
    assert not Path(f"{path}-wal").exists()
    assert _elapsed(path) == 7.0
    assert _elapsed(_copy_without_log(path)) == 7.0


def test_database_with_a_user_version_of_another_program(path: Path) -> None:
    _execute(path, "PRAGMA user_version = 3")
    records = Records(open_database(_url(path), create=False))
    mark_in_use(records.engine)
    mark_at_rest(records.engine)
    with records.engine.connect() as connection:
        assert connection.execute(text("PRAGMA user_version")).scalar_one() == 3
    records.engine.dispose()


def test_database_of_an_older_schema(tmp_path: Path) -> None:
    path = _database_of_first_schema(tmp_path)
    with pytest.raises(StorageError, match=r"got 0001, an older one; `autotune storage upgrade --storage sqlite:///"):
        open_database(_url(path), create=True)
    made: list[Path] = []
    backup = Backup(file=None, is_wanted=True, tell=made.append)
    assert upgrade_database(_url(path), backup=backup) == ("0001", HEAD_REVISION)
    assert made == [tmp_path / "autotune.db.before-upgrade"]
    with closing(sqlite3.connect(made[0])) as connection:
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [("0001",)]
    open_database(_url(path), create=False).dispose()
    again = Backup(file=None, is_wanted=True, tell=made.append)
    assert upgrade_database(_url(path), backup=again) == (HEAD_REVISION, HEAD_REVISION)
    assert len(made) == 1


def test_database_of_a_start_that_was_killed_before_optuna_had_its_tables(tmp_path: Path) -> None:
    """It was upgraded, and both commands ended in Optuna's traceback on a commit of invalid data."""
    path = _database_of_first_schema(tmp_path)
    with Interrupts() as interrupts:
        done = upgrade(_url(path), backup=None, is_backed_up=True, tell=lambda _: None, interrupts=interrupts)
    assert (done.after, done.has_upgraded_optuna) == (HEAD_REVISION, False)
    problems = [each.problem for each in check_storage(_url(path)).findings if each.problem is not None]
    tables = "--storage: a database with Optuna's tables is needed, got one without; `autotune study start` makes them"
    assert problems == [tables]


def test_upgrade_that_fails_has_told_of_its_backup(tmp_path: Path) -> None:
    """It was told of at the end, so that nobody knew of the file where there was an error, or Ctrl-C, before that."""
    path = _database_of_first_schema(tmp_path)
    _execute(path, "CREATE TABLE autotune_race (id INTEGER)")  # in the way of a migration
    told: list[str] = []
    with Interrupts() as interrupts, pytest.raises(StorageError, match="already exists"):
        upgrade(_url(path), backup=None, is_backed_up=False, tell=told.append, interrupts=interrupts)
    assert told == [f"Wrote {path}.before-upgrade before anything is changed."]


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["autotune.recording.migrations.upgrade.upgrade_schema", "alembic.runtime.migration.update_to_step"]
)
def test_ctrl_c_during_an_upgrade_leaves_the_schema_as_it_was(tmp_path: Path, moment: str) -> None:
    """Aborted! was all that was said, and not whether anything had been changed."""
    path, home = _database_of_first_schema(tmp_path), Home(tmp_path)
    open_storage(_url(path), configure_engine=configure_engine).engine.dispose()
    done = home.run_signalled("storage", "upgrade", function=moment)
    assert done.stderr.splitlines() == [
        f"Wrote {path.name}.before-upgrade before anything is changed.",
        "Stopped: what was not upgraded yet is as it was; the same command does the rest.",
    ]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [("0001",)]
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'autotune_race'").fetchall()
    assert home.run_afresh("storage", "upgrade").stderr.splitlines()[-1] == f"Schema 0001 is {HEAD_REVISION} now."


@pytest.mark.slow
def test_ctrl_c_leaves_no_table_of_optuna_half_upgraded(path: Path) -> None:
    """SQLite commits each change of their schema by itself, so that the next upgrade met what the first had begun."""
    open_storage(_url(path), configure_engine=configure_engine).engine.dispose()
    _execute(path, "UPDATE alembic_version SET version_num = 'v3.0.0.d'")
    home = Home(path.parent)
    done = home.run_signalled("storage", "upgrade", function="alembic.runtime.migration.update_to_step")
    assert [line for line in done.stderr.splitlines() if "alembic" not in line][1:] == [
        "Upgrading Optuna's tables; a signal has to wait for the end of it.",
        "Optuna's tables are those of the installed version now.",
        "Stopped when all was done; what came of it is shown.",
    ]
    assert home.run_afresh("storage", "upgrade").stderr == f"Schema {HEAD_REVISION} is up to date.\n"


def test_upgrade_whose_backup_can_not_be_made_changes_nothing(tmp_path: Path) -> None:
    path = _database_of_first_schema(tmp_path)
    with pytest.raises(InputError, match="a backup needs a folder with room for it"):
        upgrade_database(_url(path), backup=Backup(file=tmp_path / "none" / "file", is_wanted=True))
    with pytest.raises(StorageError, match="got 0001"):
        open_database(_url(path), create=False)


def test_database_of_a_newer_schema(path: Path) -> None:
    _execute(path, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StorageError, match=r"got 9999, of a newer one; upgrade autotune: in a newer checkout"):
        upgrade_database(_url(path), backup=Backup(file=None, is_wanted=True))
    assert not list(path.parent.glob("*.before-upgrade"))


def test_backup_never_replaces_a_file(path: Path) -> None:
    with pytest.raises(InputError, match="a backup is a new file, got one that is there"):
        back_up_database(_url(path), file=path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["backup._let_signals_through", "sqlite_file.remove_mark_of_copy"])
def test_ctrl_c_during_a_backup_leaves_nothing_of_it(path: Path, moment: str) -> None:
    """A file of its name and .unfinished was left, and Aborted! was all that was said."""
    home = Home(path.parent)
    done = home.run_signalled("storage", "backup", "saved.db", function=f"autotune.recording.{moment}")
    line = "Stopped: no backup was made, and nothing is left of it; the same command makes one.\n"
    assert (done.stdout, done.stderr) == ("", line)
    assert not list(home.folder.glob("saved.db*"))
    home.run_afresh("storage", "backup", "saved.db")


def test_backup_is_one_state_though_others_write_while_it_is_copied(path: Path) -> None:
    """SQLite begins anew where another connection has written between two parts of a copy, and might never end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("CREATE TABLE large (content BLOB)")
        writer.executemany("INSERT INTO large VALUES (zeroblob(?))", [(2**20,)] * 40)
        parts: list[int] = []

        def write(frame: FrameType, event: str, argument: object) -> None:
            del argument
            if event == "call" and frame.f_code.co_name == "_let_signals_through":
                parts.append(1)
                writer.execute("UPDATE large SET content = zeroblob(17) WHERE rowid = ?", [len(parts)])

        sys.setprofile(write)
        try:
            back_up_database(_url(path), file=path.parent / "saved.db")
        finally:
            sys.setprofile(None)
    assert 4 < len(parts) < 10
    with closing(sqlite3.connect(path.parent / "saved.db")) as copy:
        assert copy.execute("SELECT DISTINCT length(content) FROM large").fetchall() == [(2**20,)]


@pytest.mark.slow
def test_backup_while_a_study_runs_restores_what_was_acknowledged(tmp_path: Path, empty_store: Path) -> None:
    home = make_home(tmp_path, store=empty_store)
    process = home.start("study", "start", "tiny.yaml")
    home.wait_for("trial 1 epoch 1/3")
    copy = _copy_without_log(tmp_path / "autotune.db")
    refused = home.run("study", "list", "--storage", _url(copy), status=2)
    assert "got autotune.db without autotune.db-wal" in refused.stderr
    acknowledged = home.output.splitlines()
    home.run_afresh("storage", "backup", "saved.db")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=45)
    for name in ("autotune.db", "autotune.db-wal", "autotune.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "saved.db", tmp_path / "autotune.db")
    checked = home.read("storage", "check")
    assert checked["is_sound"], checked
    trials = {trial["number"]: trial for trial in home.read("study", "trials", "tiny")}
    ended = [number for number in trials if any(f"trial {number} complete" in line for line in acknowledged)]
    assert ended
    assert all(trials[number]["outcome"] == "complete" for number in ended)
    home.run("study", "resume", "tiny")
    assert [trial["outcome"] for trial in home.read("study", "trials", "tiny")] == ["complete"] * 4


def test_storage_check_names_what_is_broken(tmp_path: Path) -> None:
    home = Home(tmp_path)
    make_study(tmp_path)
    _execute(
        tmp_path / "autotune.db",
        "INSERT INTO autotune_report (trial_id, epoch, step, metrics, samples, peak_memory_bytes, at, is_published)"
        " VALUES (77, 1, 1, '{}', 1, 0, 0, 0)",
    )
    told = home.run_afresh("storage", "check", status=1)
    assert "BAD  references: each row's others are there" in told.stdout
    assert "1 rows name one that is gone, in autotune_report" in told.stdout


def _database_of_first_schema(folder: Path) -> Path:
    path = folder / "autotune.db"
    engine = create_engine(_url(path))
    migrate(engine, revision="0001")
    engine.dispose()
    return path
