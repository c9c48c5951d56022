"""Opening, creating and migrating the database that studies live in."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from sqlalchemy import (
    URL,
    Engine,
    create_engine,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError, DBAPIError

from autotune.errors import StorageError
from autotune.recording import transactions
from autotune.recording.engines import make_engine
from autotune.recording.looking import Found, look
from autotune.recording.revision import explain_revision, make_tables, try_to_write
from autotune.recording.sqlite_file import check_file, check_pages, file_of, remove_mark
from autotune.recording.tables import HEAD_REVISION

_ADVISORY_LOCK = 0x6175746F74756E65  # "autotune" in ASCII: PostgreSQL names its advisory locks by number


class MissingError(StorageError):
    """The database, or our tables in it, are missing; starting a study would make them."""


def normalise_url(url: str) -> str:
    """The URL with the driver that we use; raises StorageError for what is no SQLite or PostgreSQL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        rule = "a URL such as sqlite:///autotune.db or postgresql://USER@HOST/NAME"
        raise StorageError(f"storage: {rule}, got {_without_password(url)!r}; did you mean sqlite:///FILE?") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if parsed.host:
            rule = "three slashes stand before a SQLite file's path, got two"
            raise StorageError(f"{url}: {rule}; did you mean {url.replace('://', ':///', 1)}?")
        if parsed.database in {None, "", ":memory:"}:
            raise StorageError(f"{url}: a study outlives its process, got a database in memory; use sqlite:///FILE")
        return url
    if backend in {"postgresql", "postgres"}:
        return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    shown = transactions.without_password(parsed)
    raise StorageError(f"{shown}: studies live in SQLite or PostgreSQL, got {backend}; use sqlite:/// or postgresql://")


def hide_password(url: str) -> str:
    """The URL without its password, to be shown."""
    return transactions.without_password(make_url(normalise_url(url)).set(drivername=make_url(url).drivername))


def open_database(url: str, *, create: bool) -> Engine:
    """An engine on a database that has our tables, migrated to this version's schema.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://...``.
        create: Make what is missing; else a database without our tables is an error.

    Raises:
        StorageError: It can't be opened, is read-only, corrupt, empty, of a newer schema, or another program's.
    """
    parsed = make_url(normalise_url(url))
    found = look_at(parsed, create=create)
    engine = make_engine(parsed)
    try:
        _bring_up_to_date(engine, found=found)
    except DBAPIError as error:
        raise transactions.explain_error(transactions.shown_url(engine), error) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def find_database(url: str) -> Engine | None:
    """Open the database as ``open_database`` does; None, and nothing is made, where it or our tables are missing.

    Raises:
        StorageError: It can't be opened, is read-only, corrupt, empty, of a newer schema, or another
            program's, or lies where none can be made.
    """
    try:
        return open_database(url, create=False)
    except MissingError:
        return None


def look_at(url: URL, *, create: bool) -> Found:
    """What is in the database; its file is made where it is missing and ``create`` says so.

    Raises:
        MissingError: The database, or our tables in it, are missing, and ``create`` does not make them.
        StorageError: It can't be opened, is corrupt, empty, or another program's.
    """
    if url.get_backend_name() == "sqlite":
        _check_sqlite_file(url, create=create)
    found = look(url)
    if found.revision is None:
        found.check_free()
        if not create:
            rule = "no study of autotune in this database"
            raise MissingError(f"{found.shown}: {rule}; `autotune study start` makes one")
    return found


def is_optunas(url: str) -> bool:
    """Whether the database exists and holds Optuna's tables but not ours, which could be made beside them."""
    parsed = make_url(normalise_url(url))
    is_there = parsed.get_backend_name() != "sqlite" or file_of(parsed).exists()
    return is_there and look(parsed).is_optunas


def check_database(url: str) -> None:
    """Raise StorageError unless this is a database that can be read, whether it has our tables or not.

    Nothing is checked for a server, which answers when it is opened.
    """
    parsed = make_url(normalise_url(url))
    if parsed.get_backend_name() != "sqlite":
        return
    _check_sqlite_file(parsed, create=False)
    engine = create_engine(parsed)  # not configured: a file that may be another program's stays as it is
    try:
        with engine.connect() as connection:
            check_pages(connection)
    except DBAPIError as error:
        raise transactions.explain_error(transactions.shown_url(engine), error) from error
    finally:
        engine.dispose()


def sqlite_folder(url: str) -> Path | None:
    """The folder that a SQLite database lies in, or would; None for a server."""
    parsed = make_url(normalise_url(url))
    return file_of(parsed).absolute().parent if parsed.get_backend_name() == "sqlite" else None


def server_seconds(engine: Engine) -> float | None:
    """Seconds since 1970 by the database server's clock; None for SQLite, which has none of its own."""
    if engine.dialect.name == "sqlite":
        return None
    with transactions.read(engine) as connection:
        return float(connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())


def accept_copy(url: str) -> None:
    """Accept a database that was copied without its write-ahead log; any other database is left unchanged."""
    parsed = make_url(normalise_url(url))
    if parsed.get_backend_name() == "sqlite":
        _check_sqlite_file(parsed, create=False)
        with opened(parsed) as engine, transactions.write(engine) as connection:
            remove_mark(connection)


@contextlib.contextmanager
def opened(url: URL) -> Iterator[Engine]:
    """An engine on a database as it is: nothing is checked, made or migrated."""
    engine = make_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


@contextlib.contextmanager
def creation_lock(url: str) -> Iterator[None]:
    """One process at a time makes or migrates tables in this database, ours or Optuna's."""
    parsed = make_url(normalise_url(url))
    if parsed.get_backend_name() == "sqlite":
        with FileLock(f"{file_of(parsed)}.lock"):
            yield
        return
    engine = make_engine(parsed)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
            yield  # the lock ends with the connection
    except DBAPIError as error:
        raise transactions.explain_error(transactions.shown_url(engine), error) from error
    finally:
        engine.dispose()


def _check_sqlite_file(url: URL, *, create: bool) -> None:
    """Raise StorageError for a path that can't be a database; make a missing file if ``create``."""
    path = file_of(url)
    if not path.parent.is_dir():
        raise StorageError(
            f"{url}: a database needs its directory, got none at {path.parent}; make it, or name another"
        )
    if path.is_dir():
        raise StorageError(f"{url}: a database is a file, got a directory; name a file in it")
    if not path.exists():
        if not create:
            raise MissingError(f"{url}: no such database; `autotune study start` makes one, or name it with --storage")
        _create_sqlite_file(path)
        return
    if not path.is_file():  # as /dev/null, which ``check_file`` would have removed for its zero bytes
        raise StorageError(f"{url}: a database is a file, got a device or a pipe; name another with --storage")
    check_file(url)


def _create_sqlite_file(path: Path) -> None:
    """Make the database under another name and move it into place, so that a killed process leaves no half of it."""
    unfinished = path.with_name(f"{path.name}.creating")
    try:
        with FileLock(f"{path}.lock"):
            if path.exists():
                return
            # SQLite takes any log of that name for a part of the database, even one written for another file.
            logs = [path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm")]
            for leftover in (*path.parent.glob(f"{unfinished.name}*"), *logs):
                leftover.unlink(missing_ok=True)
            engine = make_engine(URL.create("sqlite", database=str(unfinished)))
            make_tables(engine)
            engine.dispose()
            unfinished.rename(path)
    except (OSError, DBAPIError) as error:
        cause = str(error.orig) if isinstance(error, DBAPIError) else error.strerror
        raise StorageError(f"sqlite:///{path}: a database is made in a directory, got {cause!r}; mend that") from error


def _bring_up_to_date(engine: Engine, *, found: Found) -> None:
    """Make our tables where they are missing, and check that they can be written."""
    if found.revision is None:
        with creation_lock(engine.url.render_as_string(hide_password=False)):
            make_tables(engine)
    elif found.revision != HEAD_REVISION:
        raise explain_revision(engine, found.revision)
    elif engine.dialect.name == "sqlite":
        try_to_write(engine)
    if found.is_mark_over:
        with transactions.write(engine) as connection:
            remove_mark(connection)


def _without_password(url: str) -> str:
    """A text that can't be parsed as a URL, without what stands between a colon and an at sign."""
    return re.sub(r":[^:@/]*@", ":***@", url)
