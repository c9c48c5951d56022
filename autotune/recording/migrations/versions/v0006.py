"""What the source of a study's task is, to know it again where it was moved."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add to what is there; nobody knows what was trained."""
    op.add_column("autotune_study", sa.Column("task_digest", sa.String(32), nullable=True))
