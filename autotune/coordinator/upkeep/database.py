"""Backing up, checking and upgrading the database that studies live in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autotune.coordinator.interrupts import Interrupts
from autotune.errors import StorageError
from autotune.recording.backup import Backup, back_up_database
from autotune.recording.database import (
    accept_copy,
    check_database,
    creation_lock,
    hide_password,
    normalise_url,
)
from autotune.recording.schema_upgrade import upgrade_database
from autotune.recording.soundness import Finding, examine
from autotune.search.storage import has_older_tables, open_for_reading, upgrade_storage


@dataclass(frozen=True)
class Examination:
    """What was found in a storage."""

    storage: str
    """The storage's URL, without its password."""
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Nothing is wrong."""
        return all(finding.problem is None for finding in self.findings)


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade did."""

    before: str
    after: str
    """Revisions of our schema."""
    has_upgraded_optuna: bool


def back_up_storage(storage: str, *, file: Path) -> int:
    """Copy the database to a new file while studies run; its size in bytes.

    Raises:
        InputError: The file can't be made, or the storage is none that is a file.
        StorageError: The storage can't be read.
    """
    return back_up_database(normalise_url(storage), file=file)


def check_storage(storage: str, *, is_copy_accepted: bool = False) -> Examination:
    """Check the whole database; ``is_copy_accepted`` accepts a file that was copied without its write-ahead log.

    Raises:
        StorageError: It can't even be opened; the message says what helps.
    """
    url = normalise_url(storage)
    if is_copy_accepted:
        accept_copy(url)
    check_database(url)
    findings = examine(url)
    return Examination(hide_password(storage), (*findings, _examine_optuna(url)))


def upgrade(
    storage: str, *, backup: Path | None, is_backed_up: bool, tell: Callable[[str], None], interrupts: Interrupts
) -> Upgrade:
    """Bring the tables, Optuna's too, to this version's schemas, after a backup.

    A signal ends it, and nothing is left half done: our tables are upgraded in one transaction. Optuna's are not
    (SQLite commits each change of a schema by itself there), so that no signal ends that once it has begun.

    Args:
        storage: The database.
        backup: Where the backup goes; None for a file beside the database.
        is_backed_up: The user has a backup already, so none is made.
        tell: Told of the backup once it is there, before anything is changed, and of what no signal ends.
        interrupts: Entered; counts the signals that came too late to end anything.

    Raises:
        StorageError: A study is running, or the schema is newer than this version.
        InputError: The backup can't be made; nothing was changed.
        KeyboardInterrupt: A signal came in time.
    """

    def tell_of_backup(file: Path) -> None:
        tell(f"Wrote {file} before anything is changed.")

    url = normalise_url(storage)
    saved = Backup(file=backup, is_wanted=not is_backed_up, tell=tell_of_backup)
    before, after = upgrade_database(url, backup=saved)
    has_upgraded_optuna = has_older_tables(url)
    if has_upgraded_optuna:
        saved.make_of(url)
        with creation_lock(url):
            interrupts.wake_with(lambda: None)
            tell("Upgrading Optuna's tables; a signal has to wait for the end of it.")
            upgrade_storage(url)
    return Upgrade(before, after, has_upgraded_optuna)


def _examine_optuna(url: str) -> Finding:
    what = "Optuna's tables: of the version that is installed"
    try:
        open_for_reading(url).engine.dispose()
    except StorageError as error:
        return Finding(what, str(error))
    return Finding(what, None)
