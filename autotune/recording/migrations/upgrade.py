"""From any older schema to the newest."""

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from autotune.recording.tables import HEAD_REVISION


def upgrade_schema(connection: Connection) -> None:
    """Bring the database to ``HEAD_REVISION`` within the connection's open transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD_REVISION)


def is_known_revision(revision: str) -> bool:
    """Whether this version of the program has a migration of that name."""
    scripts = ScriptDirectory.from_config(_config())
    return any(script.revision == revision for script in scripts.walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "autotune.recording:migrations")
    config.set_main_option("path_separator", "os")
    return config
