"""Databases of earlier schemas."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine


def migrate(engine: Engine, *, revision: str) -> None:
    """Bring our tables to the schema of that revision; made where they are missing."""
    config = Config()
    config.set_main_option("script_location", "autotune.recording:migrations")
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
