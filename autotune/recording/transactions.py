"""Reading and writing transactions, with a database's errors told in one line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import URL, Connection, Engine, Table, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from autotune.errors import LeaseLostError, StorageError, StorageGoneError
from autotune.recording import tables

READS_ONLY = "autotune_reads_only"
"""Execution option of a transaction that takes no write lock (see ``engines.configure_engine``)."""


_WRITES = frozenset({"INSERT", "UPDATE", "DELETE"})
_GUARDED = "autotune_guarded"


@dataclass(frozen=True)
class Guard:
    """The condition for a transaction to write: the study's lease is still ours."""

    study_id: int
    role: str
    token: str


class Guarded(Protocol):
    """An object that writes to a database, and whose writes a guard can check."""

    engine: Engine
    guard: Guard | None


def explain_error(shown_url: str, error: DBAPIError) -> StorageError:
    """The error of a database driver as one line; ``shown_url`` has no password."""
    name = getattr(error.orig, "sqlite_errorname", "")
    for prefix, text in _SQLITE_ERRORS.items():
        if name.startswith(prefix):
            path = shown_url.removeprefix("sqlite:///").removeprefix("file:").partition("?")[0]
            return StorageError(f"{shown_url}: {text.format(path=path, restore=RESTORE.format(path=path))}")
    lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
    if _is_gone(error):
        message = f"{shown_url}: the database's server answers, got {lines[0]!r}; start it, or see its log"
        return StorageGoneError(message, cause=lines[0])
    return StorageError(f"{shown_url}: the database answers and takes what is written, got {lines[0]!r}; see its log")


def _is_gone(error: DBAPIError) -> bool:
    """Whether the connection was lost or could not be made, as psycopg's errors tell; False for SQLite."""
    if not hasattr(error.orig, "sqlstate"):
        return False
    return error.connection_invalidated or (isinstance(error, OperationalError) and error.statement is None)


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database and waits for no writer."""
    try:
        with engine.connect().execution_options(**{READS_ONLY: True}) as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise explain_error(shown_url(engine), error) from error


@contextmanager
def write(engine: Engine, *, guard: Guard | None = None) -> Iterator[Connection]:
    """A transaction that writes; refused with LeaseLostError when the guard holds no more.

    IntegrityError is not translated: only the caller knows what a violated uniqueness means.
    """
    try:
        with engine.begin() as connection:
            if guard is not None:
                _check(connection, guard)
            yield connection
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise explain_error(shown_url(engine), error) from error


def insert_or_ignore(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    """Insert the row unless one of its unique keys exists; returns whether it was inserted."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    # RETURNING is used since psycopg gives no row count for an insert.
    inserted = dialect.insert(table).values(row).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(inserted).first() is not None


def shown_url(engine: Engine) -> str:
    """The engine's URL without its password."""
    return without_password(engine.url.set(drivername=engine.url.get_backend_name()))


def without_password(url: URL) -> str:
    """The URL without its password, which may stand before the host or among the options."""
    secrets = {name: "***" for name in url.query if "password" in name.lower()}
    return url.update_query_dict(secrets).render_as_string(hide_password=True)


def _check(connection: Connection, guard: Guard) -> None:
    """Raise LeaseLostError unless the guard's lease is ours, and keep it so until the transaction ends."""
    lease = tables.lease
    query = select(lease.c.token).where(lease.c.study_id == guard.study_id, lease.c.role == guard.role)
    # FOR SHARE (nothing on SQLite, whose writers are alone) keeps a takeover waiting until this commits.
    token = connection.execute(query.with_for_update(read=True)).scalar_one_or_none()
    if token != guard.token:
        raise lease_lost(connection, guard)


def lease_lost(connection: Connection, guard: Guard) -> LeaseLostError:
    """The error for a writer whose lease another process has now; it names that process where it is known."""
    query = select(tables.study.c.name).where(tables.study.c.id == guard.study_id)
    name = connection.execute(query).scalar_one_or_none()
    if name is None:
        return LeaseLostError("study: a writer needs its study, got one that was deleted meanwhile; start it again")
    held = (tables.lease.c.study_id == guard.study_id) & (tables.lease.c.role == guard.role)
    holder = connection.execute(select(tables.lease).where(held)).mappings().one_or_none()
    who = f"pid {holder['pid']} on {holder['hostname']} has taken it over" if holder else "others have taken it over"
    return LeaseLostError(
        f"study {name}: this {guard.role.partition(' ')[0]} seemed dead, and {who}; its trials are ended, and nothing "
        "that it writes counts any more"
    )


def guard_writes(engine: Engine, guarded: Guarded) -> None:
    """Check the guard of ``guarded`` in every writing transaction of this engine, which another library made.

    The lease is checked before a transaction's first write, in the transaction itself.
    """

    def check(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        guard = guarded.guard
        if guard is None or statement.lstrip()[:6].upper() not in _WRITES:
            return
        transaction = connection.get_transaction()
        if connection.info.get(_GUARDED) is not transaction:
            connection.info[_GUARDED] = transaction
            _check(connection, guard)

    event.listen(engine, "before_cursor_execute", check)


RESTORE = (
    "`rm -f {path}-wal {path}-shm; cp BACKUP {path}` puts back what `autotune storage backup` wrote, "
    "`sqlite3 {path} .recover | sqlite3 NEW` saves what can be read"
)
"""What to type to get a lost database back from a backup."""

_SQLITE_ERRORS = {
    "SQLITE_READONLY": "a study writes to its database, got one that is read-only; `chmod u+w {path}`, its folder too",
    "SQLITE_CANTOPEN": "the database file can't be opened; check that its directory exists and can be written",
    "SQLITE_NOTADB": "the file must be an SQLite database, got none; name another with --storage, or {restore}",
    "SQLITE_CORRUPT": "the database is corrupt; {restore}",
    "SQLITE_BUSY": "the database stayed locked by another process; end that one (`fuser {path}` names it)",
    "SQLITE_FULL": "the disk is full (or a quota on it); make room, and start again: a study goes on where it was",
    "SQLITE_IOERR": "the disk under the database fails; see the system's log (`dmesg`)",
    "SQLITE_PERM": "no permission to open the database file; `chmod u+rw {path}`",
}
