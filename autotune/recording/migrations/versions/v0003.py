"""Why a trial has no checkpoint, where the disk took none."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add to what is there; earlier rows say nothing."""
    op.add_column("autotune_trial", sa.Column("checkpoint_problem", sa.Text(), nullable=True))
