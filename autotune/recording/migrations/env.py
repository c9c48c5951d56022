"""Run by Alembic: migrates on the connection that ``upgrade.py`` hands over, in its transaction."""

from alembic import context

from autotune.recording.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=False,  # the caller's transaction holds all of it
    render_as_batch=True,
)
context.run_migrations()
