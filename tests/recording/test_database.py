import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from autotune.errors import InputError, StorageError
from autotune.recording.database import (
    check_database,
    find_database,
    hide_password,
    is_optunas,
    normalise_url,
    open_database,
)
from autotune.recording.drafts import NewStudy
from autotune.recording.records import Records
from autotune.recording.tables import HEAD_REVISION, VERSION_TABLE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "autotune.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


OPTUNAS = ("alembic_version", "studies", "trials", "version_info")


def make_database(url: str) -> None:
    open_database(url, create=True).dispose()


def make_database_of_others(path: Path, *names: str) -> bytes:
    with sqlite3.connect(path) as connection:
        for name in names:
            connection.execute(f"CREATE TABLE {name} (version_num TEXT)")
    connection.close()
    return path.read_bytes()


def test_a_database_in_a_missing_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"a database needs its directory, got none at .*/nowhere; make it"):
        open_database(f"sqlite:///{tmp_path}/nowhere/a.db", create=True)


def test_a_directory_in_place_of_the_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="a database is a file, got a directory"):
        open_database(f"sqlite:///{tmp_path}", create=True)


def test_device_is_no_database_and_no_command_to_remove_it_is_shown() -> None:
    """It has zero bytes, and `rm /dev/null` was what an error said."""
    with pytest.raises(
        StorageError, match=r"a database is a file, got a device or a pipe; name another with --storage$"
    ):
        open_database("sqlite:////dev/null", create=True)


def test_reading_does_not_make_a_database(url: str, path: Path) -> None:
    with pytest.raises(StorageError, match="no such database; `autotune study start` makes one"):
        open_database(url, create=False)
    assert not path.exists()


def test_looking_for_a_database_makes_none(url: str, path: Path) -> None:
    assert find_database(url) is None
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
def test_another_programs_database_is_refused_and_left_as_it_is(url: str, path: Path, *, create: bool) -> None:
    before = make_database_of_others(path, "cats", "dogs", "alembic_version")
    rule = "got another program's, with tables alembic_version, cats, dogs; name another with --storage"
    with pytest.raises(StorageError, match=rule):
        open_database(url, create=create)
    with pytest.raises(StorageError, match=rule):
        find_database(url)
    assert path.read_bytes() == before
    check_database(url)
    assert path.read_bytes() == before


def test_reading_leaves_a_database_of_optunas_as_it_is(url: str, path: Path) -> None:
    """Not even its journal is another one: whoever made it may have it on a disk that takes no write-ahead log."""
    before = make_database_of_others(path, *OPTUNAS)
    assert find_database(url) is None
    assert is_optunas(url)
    assert not is_optunas(f"{url}.gone")
    assert path.read_bytes() == before


def test_looking_for_a_database_finds_it_and_what_is_wrong_with_it(url: str, tmp_path: Path) -> None:
    make_database(url)
    engine = find_database(url)
    assert engine is not None
    engine.dispose()
    with pytest.raises(StorageError, match="a database needs its directory"):
        find_database(f"sqlite:///{tmp_path}/nowhere/a.db")


@pytest.mark.parametrize(
    ("content", "rule"),
    [(None, "no such database"), (b"", "zero bytes"), (b"epochs: 3\n" * 99, "must be an SQLite database")],
)
def test_a_database_that_nobody_can_read_is_told_without_our_tables(
    url: str, path: Path, content: bytes | None, rule: str
) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=rule):
        check_database(url)


@pytest.mark.parametrize("create", [True, False])
def test_a_database_of_zero_bytes_is_refused(url: str, path: Path, *, create: bool) -> None:
    path.touch()
    with pytest.raises(
        StorageError, match=r"got a file of zero bytes; `rm .*autotune\.db` to begin anew, or `cp BACKUP"
    ):
        open_database(url, create=create)


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_is_no_database_is_refused(url: str, path: Path, *, create: bool) -> None:
    path.write_text("epochs: 3\n" * 1000)
    with pytest.raises(StorageError, match="must be an SQLite database"):
        open_database(url, create=create)


@pytest.mark.parametrize("create", [True, False])
def test_a_corrupt_database_is_refused(url: str, path: Path, *, create: bool) -> None:
    make_database(url)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xaa" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="the database is corrupt"):
        open_database(url, create=create)


def test_a_truncated_database_is_refused(url: str, path: Path) -> None:
    make_database(url)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(StorageError, match="corrupt"):
        open_database(url, create=True)


@pytest.mark.parametrize("create", [True, False])
def test_a_read_only_database_is_refused(url: str, path: Path, *, create: bool) -> None:
    make_database(url)
    # mode=ro refuses writes even to root, whom file permissions do not stop.
    with pytest.raises(StorageError, match="a study writes to its database, got one that is read-only"):
        open_database(f"sqlite:///file:{path}?mode=ro&uri=true", create=create)


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_schema_is_refused(url: str, path: Path, *, create: bool) -> None:
    make_database(url)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match=f"knows schemas up to {HEAD_REVISION}, got 9999, of a newer one; upgrade"):
        open_database(url, create=create)


def test_a_newer_schema_is_left_as_it_is(url: str, path: Path) -> None:
    make_database(url)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match="newer"):
        open_database(url, create=True)
    with sqlite3.connect(path) as connection:
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [("9999",)]
    connection.close()


def test_a_database_of_optunas_gets_our_tables_beside_its_own(url: str, path: Path) -> None:
    make_database_of_others(path, *OPTUNAS)
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO alembic_version VALUES ('v3.2.0.a')")
    connection.close()
    with pytest.raises(StorageError, match="no study of autotune in this database"):
        open_database(url, create=False)
    engine = open_database(url, create=True)
    with engine.connect() as connected:
        assert connected.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "v3.2.0.a"
        assert inspect(connected).has_table("autotune_trial")
    engine.dispose()


def test_a_creation_that_was_killed_leaves_no_trace(url: str, path: Path) -> None:
    path.with_name("autotune.db.creating").write_bytes(b"half of it")
    path.with_name("autotune.db.creating-wal").write_bytes(b"half of it")
    make_database(url)
    assert {p.name for p in path.parent.iterdir()} == {"autotune.db", "autotune.db.lock"}


def test_log_that_a_deleted_database_left_behind_is_no_part_of_a_new_one(url: str, path: Path) -> None:
    """Whoever killed a study and deletes autotune.db alone would find pages of the old one in the new one."""
    engine = open_database(url, create=True)
    Records(engine).create_study(NewStudy(name="old", task="a:B", spec_text="", spec_json="{}", seed=1))
    log = path.with_name("autotune.db-wal").read_bytes()
    engine.dispose()
    path.unlink()
    path.with_name("autotune.db-wal").write_bytes(log)
    engine = open_database(url, create=True)
    assert Records(engine).studies() == ()
    engine.dispose()


@pytest.mark.parametrize("pragma", [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 60000)])
def test_sqlite_is_set_up_for_many_processes(url: str, pragma: tuple[str, object]) -> None:
    name, value = pragma
    engine = open_database(url, create=True)
    with engine.connect() as connection:
        assert connection.execute(text(f"PRAGMA {name}")).scalar_one() == value
    engine.dispose()


def test_a_writing_transaction_locks_from_its_start(url: str, path: Path) -> None:
    engine = open_database(url, create=True)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with engine.begin(), pytest.raises(sqlite3.OperationalError, match="database is locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="a study outlives its process, got a database in memory"):
        normalise_url(url)


def test_two_slashes_before_a_path_are_one_too_few() -> None:
    with pytest.raises(StorageError, match=r"three slashes .*, got two; did you mean sqlite:///studies/a\.db"):
        normalise_url("sqlite://studies/a.db")


def test_a_path_in_place_of_a_url_is_refused() -> None:
    with pytest.raises(StorageError, match=r"got 'autotune\.db'; did you mean sqlite:///FILE"):
        normalise_url("autotune.db")


def test_other_databases_are_refused_without_their_password() -> None:
    with pytest.raises(StorageError, match="SQLite or PostgreSQL, got mysql") as caught:
        normalise_url("mysql://ada:secret@db/studies")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_postgresql_is_reached_through_psycopg(scheme: str) -> None:
    assert normalise_url(f"{scheme}://ada:secret@db/studies") == "postgresql+psycopg://ada:secret@db/studies"


@pytest.mark.parametrize("option", ["password", "sslpassword"])
def test_a_shown_url_has_no_password_among_its_options(option: str) -> None:
    url = f"postgresql://ada@127.0.0.1:1/studies?{option}=secret"
    assert "secret" not in hide_password(url)
    with pytest.raises(StorageError, match="refused") as caught:
        open_database(f"postgresql://ada@127.0.0.1:1/studies?{option}=secret", create=True)
    assert "secret" not in str(caught.value)


def test_a_shown_url_has_no_password() -> None:
    assert hide_password("postgresql://ada:secret@db/studies") == "postgresql://ada:***@db/studies"


def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    with pytest.raises(StorageError, match=r"postgresql://ada:\*\*\*@127.0.0.1:1/studies: .*refused") as caught:
        open_database("postgresql://ada:secret@127.0.0.1:1/studies", create=True)
    assert "secret" not in str(caught.value)


@pytest.mark.postgres
def test_a_postgresql_database_that_is_not_there_is_told(postgres_url: str) -> None:
    missing = postgres_url.replace("/test_", "/none_")
    with pytest.raises(StorageError, match="does not exist"):
        open_database(missing, create=True)


@pytest.mark.postgres
def test_reading_makes_no_tables_in_postgresql(postgres_url: str) -> None:
    with pytest.raises(StorageError, match="no study of autotune in this database"):
        open_database(postgres_url, create=False)


@pytest.mark.parametrize("name", ["", "..", "a..b", "a/b", "-a", ".a", "a b", "ä", "a" * 101, "a\n"])
def test_a_name_that_can_be_no_folder_makes_no_study(url: str, name: str) -> None:
    records = Records(open_database(url, create=True))
    with pytest.raises(InputError, match="study name: 1 to 100 of letters"):
        records.create_study(NewStudy(name=name, task="t", spec_text="", spec_json="{}", seed=1))
    assert records.studies() == ()
    records.engine.dispose()


def test_a_database_that_stops_answering_is_told_in_one_line(url: str, path: Path) -> None:
    records = Records(open_database(url, create=True))
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE autotune_study")
    connection.close()
    with pytest.raises(StorageError, match="no such table: autotune_study"):
        records.studies()
    records.engine.dispose()
