"""What races took that have not come to their end."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make a table for it; of earlier races nobody knows."""
    op.create_table(
        "autotune_race_unfinished",
        sa.Column("study_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hardware_fingerprint", sa.String(length=16), nullable=False),
        sa.Column("software_fingerprint", sa.String(length=16), nullable=False),
        sa.Column("workload_digest", sa.String(length=32), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["autotune_study.id"]),
        sa.PrimaryKeyConstraint("study_id", "hardware_fingerprint", "software_fingerprint", "workload_digest"),
    )
