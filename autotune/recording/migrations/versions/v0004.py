"""Which coordinator has a trial, where several share a study."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add to what is there; trials of earlier versions are nobody's."""
    op.add_column("autotune_trial", sa.Column("worker", sa.String(length=32), nullable=True))
    op.create_index(
        "autotune_trial_open",
        "autotune_trial",
        ["study_id"],
        unique=False,
        sqlite_where=sa.text("status != 'ended'"),
        postgresql_where=sa.text("status != 'ended'"),
    )
