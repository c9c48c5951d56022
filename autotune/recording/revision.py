"""The revision of our tables in a database: read, explained, made."""

from sqlalchemy import Connection, Engine, column, inspect, select, table, update

from autotune.errors import StorageError
from autotune.recording import transactions
from autotune.recording.tables import HEAD_REVISION, VERSION_TABLE


def explain_revision(engine: Engine, revision: str) -> StorageError:
    """The error for a database whose schema is not this version's."""
    from autotune.recording.migrations.upgrade import is_known_revision

    shown = transactions.shown_url(engine)
    if not is_known_revision(revision):
        rule = f"this version knows schemas up to {HEAD_REVISION}, got {revision}, of a newer one"
        return StorageError(f"{shown}: {rule}; upgrade autotune: in a newer checkout, `pip install .`")
    remedy = f"`autotune storage upgrade --storage {shown}` makes a backup, then the new one"
    return StorageError(f"{shown}: this version needs schema {HEAD_REVISION}, got {revision}, an older one; {remedy}")


def try_to_write(engine: Engine) -> None:
    """Write, and roll back, so that a read-only database is found now and not at the first trial."""
    with engine.connect() as connection, connection.begin() as transaction:
        version = table(VERSION_TABLE, column("version_num"))
        connection.execute(update(version).values(version_num=HEAD_REVISION))
        transaction.rollback()


def make_tables(engine: Engine) -> None:
    """Make our tables, unless another process has made them meanwhile; call it under the creation lock."""
    from autotune.recording.migrations.upgrade import upgrade_schema

    with engine.connect() as connection, connection.begin():
        if read_revision(connection) is None:
            upgrade_schema(connection)


def read_revision(connection: Connection) -> str | None:
    """The revision of our tables; None where there are none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = table(VERSION_TABLE, column("version_num"))
    return connection.execute(select(version.c.version_num)).scalar_one_or_none()
