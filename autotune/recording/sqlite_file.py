"""The file of a SQLite database: whether it can be trusted, and whether it is all there.

What was committed last is in the write-ahead log, ``FILE-wal``, until SQLite moves it over. A
copy of the file alone looks whole and lacks it. So whoever runs a study leaves a mark in the
file's header (``PRAGMA user_version``), which says that the file is in use and in which place. A file that has the
mark, lies somewhere else and has no log beside it was copied without its log. A file that was moved within its
folder, or whose log was deleted, can't be recognised.
"""

import os
import sqlite3
import zlib
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, text

from autotune.errors import StorageError
from autotune.recording import transactions
from autotune.recording.lease import is_any_study_running

_QUICK_CHECK_BYTES = 64 * 1024 * 1024
_MARK = 0x41540000  # "AT"; the other half says which file it was left in


def file_of(url: URL) -> Path:
    """The file that a SQLite URL names."""
    assert url.database is not None
    return Path(url.database.removeprefix("file:"))


def check_file(url: URL) -> None:
    """Check the file without opening it: closing it would drop every lock that this process's SQLite has on it.

    POSIX locks belong to the process (sqlite.org/howtocorrupt.html, 2.2). Another process could then take
    the write-ahead log for unused and delete it, with what was committed to it. Reading the contents is
    left to SQLite.

    Raises:
        StorageError: It has no bytes, or may not be read.
        FileNotFoundError: It is not there.
    """
    path = file_of(url)
    if path.stat().st_size == 0:
        remedy = f"`rm {path}` to begin anew, or `cp BACKUP {path}`"
        raise StorageError(f"{url}: a database has contents, got a file of zero bytes; {remedy}")
    if not os.access(path, os.R_OK):
        raise StorageError(f"{url}: the database file can't be read, got no permission; `chmod u+rw {path}`")


def check_pages(connection: Connection) -> None:
    """Raise StorageError for damaged pages; a file that is too large for the check is trusted."""
    if connection.dialect.name != "sqlite":
        return
    url = connection.engine.url
    if file_of(url).stat().st_size <= _QUICK_CHECK_BYTES:
        answer = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
        if answer != "ok":
            rule = f"a database's pages are whole, got {' '.join(str(answer).split())!r}"
            raise StorageError(
                f"{url}: the database is corrupt: {rule}; {transactions.RESTORE.format(path=file_of(url))}"
            )


def has_log(path: Path) -> bool:
    """Whether a write-ahead log with contents lies beside the file; must be called before the file is opened."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def check_whole(connection: Connection, *, had_log: bool) -> bool:
    """Whether the file has a mark of ours that is out of date, so that it should be removed.

    Raises:
        StorageError: The file was copied from a study that was running, without its log.
    """
    mark = _read_mark(connection)
    if not _is_ours(mark):
        return False
    url = connection.engine.url
    path = file_of(url)
    if mark == _mark_of(path):
        return not is_any_study_running(connection)
    if had_log:
        return True
    rule = f"a database that is in use is copied with its log, got {path.name} without {path.name}-wal"
    remedy = f"copy both, or `autotune storage backup FILE`; `autotune storage check --accept --storage {url}`"
    raise StorageError(f"{url}: {rule}; {remedy} takes it without what was written last")


def mark_in_use(engine: Engine) -> None:
    """Write the mark into the file, so that copies have it; a ``user_version`` of another program's is left alone."""
    with transactions.write(engine) as connection:
        if connection.dialect.name != "sqlite" or not _is_free(_read_mark(connection)):
            return
        _write_mark(connection, _mark_of(file_of(engine.url)))
    _move_log(engine)


def mark_at_rest(engine: Engine) -> None:
    """Remove the mark, unless another study of the database still runs."""
    with transactions.write(engine) as connection:
        is_ours = connection.dialect.name == "sqlite" and _is_ours(_read_mark(connection))
        if not is_ours or is_any_study_running(connection):
            return
        _write_mark(connection, 0)
    _move_log(engine)


def remove_mark(connection: Connection) -> None:
    """Remove the mark from a file that is whole, or that is accepted as it is."""
    if _is_ours(_read_mark(connection)):
        _write_mark(connection, 0)


def remove_mark_of_copy(copy: sqlite3.Connection) -> None:
    """Remove the mark from a copy that SQLite made, which is whole."""
    if _is_ours(copy.execute("PRAGMA user_version").fetchone()[0]):
        copy.execute("PRAGMA user_version = 0")


def _move_log(engine: Engine) -> None:
    """Move what was committed from the log to the file, as far as readers let it."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _read_mark(connection: Connection) -> int:
    """The mark in the file's header; 0 where there is none, and for a server."""
    if connection.dialect.name != "sqlite":
        return 0
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def _write_mark(connection: Connection, mark: int) -> None:
    connection.exec_driver_sql(f"PRAGMA user_version = {mark}")


def _mark_of(path: Path) -> int:
    """The mark of this file in this folder; the device's number is left out, since it changes with a reboot."""
    place = f"{path.stat().st_ino} {path.resolve().parent.stat().st_ino}"
    return _MARK | zlib.crc32(place.encode()) & 0xFFFF


def _is_ours(mark: int) -> bool:
    return mark & 0xFFFF0000 == _MARK


def _is_free(mark: int) -> bool:
    """Whether the header may be written: it is empty, or has a mark of ours."""
    return mark == 0 or _is_ours(mark)
