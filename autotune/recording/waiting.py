"""Waits for a database that another process has locked, and tells so meanwhile."""

import sqlite3
import time

from sqlalchemy import Connection

from autotune.outages import Patience, note_wait, patience_here


def begin_writing(connection: Connection) -> None:
    """Begin a transaction that writes, waiting until no other process has the database locked.

    Inside ``outages.waiting_out`` the wait is told. Nothing was written before the wait, so no call is repeated.
    """
    patience = patience_here()
    driver = connection.connection.driver_connection
    if patience is None or not isinstance(driver, sqlite3.Connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    (usual,) = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute(f"PRAGMA busy_timeout = {patience.attempt_seconds * 1000:.0f}")
    try:
        _wait(driver, patience)
        if not driver.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the last attempt, whose error is raised
    finally:
        driver.execute(f"PRAGMA busy_timeout = {usual}")


def _wait(driver: sqlite3.Connection, patience: Patience) -> None:
    """Try to begin until it works, the patience is used up or the caller gives up; tells of the wait."""
    since = time.monotonic()
    is_told = False
    while not _has_begun(driver) and time.monotonic() - since < patience.limit_seconds:
        if patience.should_give_up():
            return
        if not is_told:
            limit = f"{patience.limit_seconds:.0f} s"
            patience.tell(f"another process has the database locked: trials train on, records wait up to {limit}")
        is_told = True
    if is_told and driver.in_transaction:
        seconds = time.monotonic() - since
        note_wait(seconds)
        patience.tell(f"the database takes records again, after {seconds:.0f} s")


def _has_begun(driver: sqlite3.Connection) -> bool:
    """Try to begin a writing transaction; False where another process has the database locked."""
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
            raise
        return False
    return True
