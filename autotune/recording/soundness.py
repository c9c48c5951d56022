"""Checks a database: its pages, its schema, and the references between our tables."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select, text

from autotune.recording import tables, transactions
from autotune.recording.database import open_database
from autotune.recording.rows import TrialStatus


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    problem: str | None
    """One line that says what is wrong; None where nothing is."""


def examine(url: str) -> tuple[Finding, ...]:
    """Check every page, every reference and every trial; reads the whole database."""
    engine = open_database(url, create=False)
    try:
        return _examine(engine)
    finally:
        engine.dispose()


def _examine(engine: Engine) -> tuple[Finding, ...]:
    with transactions.read(engine) as connection:
        return (
            *(_pages(connection) if connection.dialect.name == "sqlite" else ()),
            Finding("trials: those that ended have an outcome", _outcomes(connection)),
        )


def _pages(connection: Connection) -> tuple[Finding, ...]:
    """Findings on a SQLite file's pages and references."""
    damage = connection.execute(text("PRAGMA integrity_check(5)")).scalars().all()
    dangling = connection.execute(text("PRAGMA foreign_key_check")).all()
    pages = None if damage == ["ok"] else "; ".join(" ".join(str(each).split()) for each in damage)
    references = f"{len(dangling)} rows name one that is gone, in {dangling[0][0]}" if dangling else None
    return Finding("pages: whole, indexes agree", pages), Finding("references: each row's others are there", references)


def _outcomes(connection: Connection) -> str | None:
    """The finding on trials that ended without an outcome; None where there are none."""
    trial, study = tables.trial, tables.study
    query = select(study.c.name, trial.c.number).select_from(trial.join(study))
    is_broken = (trial.c.status == TrialStatus.ENDED) & trial.c.outcome.is_(None)
    broken = connection.execute(query.where(is_broken)).all()
    named = ", ".join(f"{name}:{number}" for name, number in broken[:5])
    return f"{len(broken)} have none: {named}" if broken else None
