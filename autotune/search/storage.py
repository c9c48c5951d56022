"""Opens Optuna's tables so that several processes can share them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import RDBStorage

from autotune.errors import StorageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY_SECONDS = 60
"""How long a connection waits for another process's write before it gives up."""


def open_storage(url: str, *, configure_engine: "Callable[[Engine], None]") -> RDBStorage:
    """Optuna's storage at this URL; makes its tables where they are missing.

    Call it under the lock under which the database is created. ``configure_engine`` adds the
    listeners (BEGIN IMMEDIATE and the like) to the engine that Optuna made. Optuna's messages
    below WARNING are switched off for this process: what a person should see of a study is told
    by its coordinator.

    Raises:
        StorageError: Optuna's tables are there, made by a version that this one can't use.
    """
    storage = _connect(url)
    # Before Optuna has checked its schema a BEGIN IMMEDIATE would deadlock: the check opens a
    # second connection while the first one still holds its transaction. Connections that are
    # pooled by now would never see the listeners, so they go.
    storage.engine.dispose()
    configure_engine(storage.engine)
    return storage


def open_for_reading(url: str, *, is_ours: bool = True, option: str = "--storage") -> RDBStorage:
    """Optuna's storage as a reader: it makes no tables, and a read takes no write lock.

    Raises:
        StorageError: It has no tables, or tables of a version that this one can't use; another program's
            (``is_ours=False``) are for Optuna's own command to upgrade. It begins with the ``option``
            that named the storage.
    """
    return _connect(url, skip_table_creation=True, is_ours=is_ours, option=option)


def studies_of_others(url: str) -> tuple[str, ...]:
    """Studies in a database of Optuna's that has no tables of ours; raises StorageError as ``open_for_reading``."""
    storage = open_for_reading(url, is_ours=False)
    try:
        return tuple(study.study_name for study in storage.get_all_studies())
    finally:
        storage.engine.dispose()


def has_older_tables(url: str) -> bool:
    """Whether Optuna's tables are there, and older than the Optuna that is installed."""
    if not _has_tables(url):
        return False
    storage = _connect_to_any(url)
    try:
        version = storage.get_current_version()
        return version != storage.get_head_version() and version in storage.get_all_versions()
    finally:
        storage.engine.dispose()


def upgrade_storage(url: str) -> None:
    """Bring Optuna's tables to the schema of the Optuna that is installed."""
    storage = _connect_to_any(url)
    try:
        storage.upgrade()
    finally:
        storage.engine.dispose()


def _connect_to_any(url: str) -> RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return RDBStorage(
        url.replace("{", "{{").replace("}", "}}"),
        engine_kwargs=_engine_arguments(url),
        skip_compatibility_check=True,
        skip_table_creation=True,
    )


def _connect(
    url: str, *, skip_table_creation: bool = False, is_ours: bool = True, option: str = "--storage"
) -> RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if skip_table_creation and not _has_tables(url):
        remedy = "`autotune study start` makes them" if is_ours else "name another database"
        raise StorageError(f"{option}: a database with Optuna's tables is needed, got one without; {remedy}")
    # Optuna fills in {SCHEMA_VERSION} with str.format, so braces of a path have to be doubled.
    template = url.replace("{", "{{").replace("}", "}}")
    try:
        return RDBStorage(template, engine_kwargs=_engine_arguments(url), skip_table_creation=skip_table_creation)
    except RuntimeError as error:
        # Optuna names `optuna storage upgrade` where its tables are the older ones.
        is_older = "storage upgrade" in str(error)
        upgrade = "run `autotune storage upgrade`, which makes a backup first"
        if not is_ours:
            upgrade = "copy the database, and run `optuna storage upgrade --storage URL` on the copy"
        age, remedy = ("older", upgrade) if is_older else ("newer", "`pip install --upgrade optuna`")
        raise StorageError(
            f"{option}: Optuna's tables must be those of optuna "
            f"{optuna.__version__}, got {age} ones; {remedy}, or name another database"
        ) from error


def _has_tables(url: str) -> bool:
    """Whether there are any of Optuna's, of whatever version: a start that was killed may have made none."""
    from sqlalchemy import create_engine, inspect

    engine = create_engine(url, **_engine_arguments(url))
    try:
        return inspect(engine).has_table("version_info")
    finally:
        engine.dispose()


def _engine_arguments(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    return {"pool_pre_ping": True}
