"""Starts of a study that have begun and hold nothing yet: a row each, for who watches a study that is over.

Between its first look at the database and its lease a start imports torch and tries the task,
which takes seconds. The row is a courtesy: no start fails for want of it.
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
"""The role goes on with letters of its own; it keeps nobody out."""


@contextmanager
def announced_start(storage: str, *, name: str) -> Iterator[None]:
    """While this runs, ``is_being_started`` of the study; where it is stored already, else nothing happens."""
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
    """A start of it has begun, as far as can be told: of one on another host that died meanwhile, nobody can."""
    with transactions.read(engine) as connection:
        rows = connection.execute(select(tables.lease).where(_starters(study))).mappings().all()
    return any(not as_holder(row).is_gone for row in rows)


def _announce(engine: Engine, *, name: str, token: str) -> None:
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
    return (tables.lease.c.study_id == study.id) & tables.lease.c.role.like(f"{_STARTER}%")
