"""Engines on our databases: how their connections are set up, and how their transactions begin."""

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry

from autotune.recording import transactions
from autotune.recording.waiting import begin_writing

_IDLE_SECONDS = 25
"""A server ends a transaction that is idle for this long; shorter than the time until a lease is stale."""


def make_engine(url: URL) -> Engine:
    """An engine on the database at this URL; nothing is opened yet."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url)
        configure_engine(engine)
        return engine
    engine = create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
    event.listen(engine, "connect", _limit_transactions)
    return engine


def configure_engine(engine: Engine) -> None:
    """Set SQLite up so that many processes can write: WAL, FULL, a busy timeout, BEGIN IMMEDIATE.

    Used for Optuna's engine too, after its construction: without BEGIN IMMEDIATE, two of its
    workers can claim the same trial. Nothing is done to PostgreSQL.
    """
    if engine.dialect.name != "sqlite":
        return
    event.listen(engine, "connect", _set_up_connection)
    event.listen(engine, "begin", _begin)


def configure_optuna_engine(engine: Engine) -> None:
    """Configure Optuna's engine like ours, and let its errors name their cause.

    Optuna's own message says of a full disk, as of anything else, that it "typically happens due to invalid data
    in the commit".
    """
    configure_engine(engine)
    event.listen(engine, "handle_error", _name_cause)


def _name_cause(context: ExceptionContext) -> None:
    """Raise Optuna's database error as one of ours, with its cause in one line."""
    error = context.sqlalchemy_exception
    if context.is_pre_ping:  # a pooled connection is gone, and is replaced
        return
    if isinstance(error, DatabaseError) and not isinstance(error, IntegrityError):
        assert context.engine is not None
        raise transactions.explain_error(transactions.shown_url(context.engine), error) from error


def _limit_transactions(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Let the server end transactions in which nothing happens for a while."""
    # A process that is stopped, or cut off, in the middle of a transaction must not hold its locks for ever.
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
    cursor.close()
    connection.commit()


def _set_up_connection(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    """Set how SQLite's connection waits and writes."""
    # The driver would begin transactions by itself, deferred and too late; ``_begin`` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("busy_timeout=60000", "journal_mode=WAL", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Begin a transaction: one that reads at once, one that writes when no other process has the database locked."""
    reads_only = connection.get_execution_options().get(transactions.READS_ONLY, False)
    if reads_only:
        connection.exec_driver_sql("BEGIN")
    else:
        begin_writing(connection)
