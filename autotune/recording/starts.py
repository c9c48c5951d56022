"""Rows for starts of a study that have begun and hold no lease yet, so that a watcher waits for them.

Between its first look at the database and its lease a start imports torch and tries the task,
which takes seconds. No start fails where its row can't be written.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import ColumnElement, Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from autotune.errors import StorageError
from autotune.outages import persist
from autotune.recording import tables, transactions
from autotune.recording.database import find_database
from autotune.recording.lease import as_holder, lease_row
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow

_STARTER = "starter "
"""Prefix of the role in such a row, with letters of its own behind it; it excludes no other role."""


@contextmanager
def announced_start(storage: str, *, name: str) -> Iterator[None]:
    """Make ``is_being_started`` true of the study inside the context; nothing happens if it is not stored yet."""
    engine = find_database(storage)
    if engine is None:
        yield
        return
    token = uuid.uuid4().hex
    # IntegrityError: the study was deleted meanwhile, or the row of an earlier attempt is there.
    with suppress(StorageError, IntegrityError):
        persist(lambda: _announce(engine, name=name, token=token))
    try:
        yield
    finally:
        with suppress(StorageError):
            persist(lambda: _withdraw(engine, token=token))
        engine.dispose()


def is_being_started(engine: Engine, *, study: StudyRow) -> bool:
    """Whether a start of the study has begun; one that died on another host meanwhile still counts."""
    with transactions.read(engine) as connection:
        rows = connection.execute(select(tables.lease).where(_starters(study))).mappings().all()
    return any(not as_holder(row).is_gone for row in rows)


def _announce(engine: Engine, *, name: str, token: str) -> None:
    """Write the row of this start, and delete those of starts that died here."""
    study = Records(engine).find_study(name)
    if study is None:
        return
    with transactions.write(engine) as connection:
        for row in connection.execute(select(tables.lease).where(_starters(study))).mappings().all():
            if as_holder(row).is_gone:
                connection.execute(delete(tables.lease).where(tables.lease.c.token == row["token"]))
        role = f"{_STARTER}{token[:12]}"
        connection.execute(insert(tables.lease).values(lease_row(study, role=role, token=token)))


def _withdraw(engine: Engine, *, token: str) -> None:
    with transactions.write(engine) as connection:
        connection.execute(delete(tables.lease).where(tables.lease.c.token == token))


def _starters(study: StudyRow) -> ColumnElement[bool]:
    """The condition that selects the rows of starts of this study."""
    return (tables.lease.c.study_id == study.id) & tables.lease.c.role.like(f"{_STARTER}%")
