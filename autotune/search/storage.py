"""Optuna's tables, opened the way that several processes can share them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import Engine


def open_storage(url: str, *, configure_engine: "Callable[[Engine], None]") -> "RDBStorage":
    """Optuna's storage at this URL; makes its tables where they are missing.

    Call it under the lock under which the database is created. ``configure_engine`` adds the
    listeners (BEGIN IMMEDIATE and the like) to the engine that Optuna made.
    """
    raise NotImplementedError
