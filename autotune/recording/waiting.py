"""Waiting for a database that another process has locked, and saying so meanwhile."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

_OPTION = "autotune_waiting"


@dataclass(frozen=True)
class Waiting:
    """How long a writer waits for its turn, and who hears of it."""

    tell: Callable[[str], None]
    """Told one line when waiting begins and one when it is over."""
    attempt_seconds: float = 5.0
    """Before it is told."""
    limit_seconds: float = 600.0
    """Then the write fails."""


def wait_aloud(engine: Engine, waiting: Waiting) -> None:
    """Have every writing transaction of this engine wait so; nothing has begun by then, so nothing is done twice."""
    engine.update_execution_options(**{_OPTION: waiting})


def begin_writing(connection: Connection) -> None:
    """Begin a transaction that writes, when it is this connection's turn."""
    waiting = connection.get_execution_options().get(_OPTION)
    driver = connection.connection.driver_connection
    if not isinstance(waiting, Waiting) or not isinstance(driver, sqlite3.Connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    (usual,) = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute(f"PRAGMA busy_timeout = {waiting.attempt_seconds * 1000:.0f}")
    try:
        _wait(driver, waiting)
        if not driver.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the last attempt, whose error is raised
    finally:
        driver.execute(f"PRAGMA busy_timeout = {usual}")


def _wait(driver: sqlite3.Connection, waiting: Waiting) -> None:
    since = time.monotonic()
    is_told = False
    while not _has_begun(driver) and time.monotonic() - since < waiting.limit_seconds:
        if not is_told:
            limit = f"{waiting.limit_seconds:.0f} s"
            waiting.tell(f"another process has the database locked: trials train on, records wait up to {limit}")
        is_told = True
    if is_told and driver.in_transaction:
        waiting.tell(f"the database takes records again, after {time.monotonic() - since:.0f} s")


def _has_begun(driver: sqlite3.Connection) -> bool:
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise
        return False
    return True
