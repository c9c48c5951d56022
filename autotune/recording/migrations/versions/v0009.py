"""Why a trial trains with the baseline's speed parameters where a race had found others."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; no earlier trial did."""
    op.add_column("autotune_trial", sa.Column("speed_fallback", sa.Text()))
