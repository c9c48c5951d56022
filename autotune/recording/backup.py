"""Makes a consistent copy of a SQLite database while studies write to it."""

import itertools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Engine

from autotune.errors import InputError, StorageError
from autotune.recording import transactions
from autotune.recording.database import open_database
from autotune.recording.sqlite_file import file_of, remove_mark_of_copy

_PAGES_AT_ONCE = 2048
"""Pages of a part of a copy: 8 MiB, which a disk takes in a fraction of a second."""


class Backup:
    """The backup before a change: it is made once, when something is about to be changed."""

    def __init__(self, *, file: Path | None, is_wanted: bool, tell: Callable[[Path], None] = lambda _: None) -> None:
        """Nothing is made yet.

        Args:
            file: The backup's file; None for one beside the database.
            is_wanted: Whether one is made at all.
            tell: Told the file once it is whole, so that whoever waits knows of it whatever follows.
        """
        self._file = file
        self._is_wanted = is_wanted
        self._tell = tell
        self._is_made = False

    def make(self, engine: Engine) -> None:
        """Make the backup, unless it was made already or is not wanted."""
        if self._is_wanted and not self._is_made:
            file = self._file or _free_name(engine)
            back_up(engine, file=file)
            self._is_made = True
            self._tell(file)

    def make_of(self, url: str) -> None:
        """Make the backup of the database at ``url``, whose schema must be up to date."""
        engine = open_database(url, create=False)
        try:
            self.make(engine)
        finally:
            engine.dispose()


def back_up_database(url: str, *, file: Path) -> int:
    """Back up the database at ``url``, whose schema must be up to date; see ``back_up``."""
    engine = open_database(url, create=False)
    try:
        return back_up(engine, file=file)
    finally:
        engine.dispose()


def back_up(engine: Engine, *, file: Path) -> int:
    """Write all that is committed to a new file, and return its size in bytes.

    SQLite's own backup is used: it sees one state, the write-ahead log included, and no writer waits
    for it. A KeyboardInterrupt ends it between two parts of the copy, and leaves nothing; a process that
    is killed meanwhile leaves ``FILE.unfinished``.

    Raises:
        InputError: There is such a file, it can't be made, or the database is no SQLite file.
        StorageError: The database can't be read, or the copy is not whole.
    """
    shown = transactions.shown_url(engine)
    if engine.dialect.name != "sqlite":
        remedy = f"`pg_dump --format=custom --file={file} {shown}`"
        raise InputError(f"{shown}: only a SQLite database is a file to copy, got PostgreSQL; {remedy}")
    if file.exists():
        raise InputError(f"{file}: a backup is a new file, got one that is there; name another")
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        with engine.connect() as connection, closing(sqlite3.connect(unfinished, isolation_level=None)) as copy:
            source = connection.connection.driver_connection
            assert isinstance(source, sqlite3.Connection)
            _copy_in_parts(source, copy)
            remove_mark_of_copy(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # the copy is one file, without a log of its own
            answer = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        if answer != "ok":
            raise StorageError(f"{shown}: a backup must be whole, got {answer!r}; `autotune storage check` says more")
        unfinished.rename(file)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{file}: a backup needs a folder with room for it, got {error}; name another") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return file.stat().st_size


def _copy_in_parts(source: sqlite3.Connection, copy: sqlite3.Connection) -> None:
    """Copy one state of the database, and let signals through between two parts of it."""
    source.execute("BEGIN")
    try:
        # From its first reading on the transaction sees one state. Without that SQLite would begin anew with
        # each change that others commit between two parts.
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(copy, pages=_PAGES_AT_ONCE, progress=_let_signals_through)
    finally:
        source.execute("ROLLBACK")


def _let_signals_through(status: int, num_left: int, num_pages: int) -> None:
    """Do nothing: Python handles signals where it runs code of its own, and not in the midst of SQLite's."""
    del status, num_left, num_pages


def _free_name(engine: Engine) -> Path:
    """A name beside the database's file that is not taken."""
    if engine.dialect.name != "sqlite":
        return Path("autotune.backup")  # ``back_up`` says what makes one of a server's database
    path = file_of(engine.url)
    names = (path.with_name(f"{path.name}.before-upgrade{'' if n == 1 else f'-{n}'}") for n in itertools.count(1))
    return next(name for name in names if not name.exists())
