"""What a coordinator does beside its trials, for who watches from elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add to what is there; nobody is doing anything."""
    op.add_column("autotune_lease", sa.Column("activity", sa.Text(), nullable=True))
