"""From an older schema to this version's, after a backup."""

from sqlalchemy import make_url

from autotune.errors import StorageError
from autotune.recording import transactions
from autotune.recording.backup import Backup
from autotune.recording.database import MissingError, creation_lock, look_at, normalise_url, opened
from autotune.recording.lease import is_any_study_running
from autotune.recording.migrations.upgrade import is_known_revision, upgrade_schema
from autotune.recording.revision import explain_revision, read_revision
from autotune.recording.sqlite_file import check_pages
from autotune.recording.tables import HEAD_REVISION


def upgrade_database(url: str, *, backup: Backup) -> tuple[str, str]:
    """Bring our tables to this version's schema; returns the revision before and the one now.

    Args:
        url: A database that has our tables.
        backup: Made before anything is changed, and only if something will be.

    Raises:
        StorageError: The database can't be opened, has a newer schema or no study, or a study is running.
        InputError: The backup can't be made; nothing was changed.
    """
    parsed = make_url(normalise_url(url))
    look_at(parsed, create=False)
    with opened(parsed) as engine, creation_lock(url):
        shown = transactions.shown_url(engine)
        with transactions.read(engine) as connection:
            check_pages(connection)
            revision = read_revision(connection)
            is_running = revision is not None and is_any_study_running(connection)
        if revision is None:
            raise MissingError(f"{shown}: no study of autotune in this database; `autotune study start` makes one")
        if revision == HEAD_REVISION:
            return revision, revision
        if not is_known_revision(revision):
            raise explain_revision(engine, revision)
        if is_running:
            raise StorageError(f"{shown}: no study runs during an upgrade, got one; stop it first")
        backup.make(engine)
        with transactions.write(engine) as connection:
            upgrade_schema(connection)
    return revision, HEAD_REVISION
