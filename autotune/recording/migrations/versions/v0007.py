"""How long what a coordinator does beside its trials may take, for who watches from elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add to what is there; nobody is doing anything."""
    op.add_column("autotune_lease", sa.Column("activity_trial_seconds", sa.Double(), nullable=True))
    op.add_column("autotune_lease", sa.Column("activity_ends_at", sa.Double(), nullable=True))
    op.execute("UPDATE autotune_lease SET activity = NULL")
