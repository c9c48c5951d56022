"""Races, what they cost, and what trials tell of time, memory and company."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add to what is there; earlier rows keep what they say."""
    op.add_column(
        "autotune_study", sa.Column("speed_seconds", sa.Double(), server_default=sa.text("0"), nullable=False)
    )
    for name in ("is_contended", "is_out_of_memory"):
        op.add_column("autotune_trial", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("autotune_report", sa.Column("trained_seconds", sa.Double(), nullable=True))
    op.add_column("autotune_report", sa.Column("trained_samples", sa.BigInteger(), nullable=True))
    _make_races()


def _make_races() -> None:
    op.create_table(
        "autotune_race",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=True),
        sa.Column("hardware_fingerprint", sa.String(length=16), nullable=False),
        sa.Column("software_fingerprint", sa.String(length=16), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("workload", sa.Text(), nullable=False),
        sa.Column("workload_digest", sa.String(length=32), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("num_cores", sa.Integer(), nullable=False),
        sa.Column("setting", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("baseline_samples_per_second", sa.Double(), nullable=True),
        sa.Column("samples_per_second", sa.Double(), nullable=True),
        sa.Column("peak_memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["autotune_study.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "autotune_race_known",
        "autotune_race",
        ["hardware_fingerprint", "software_fingerprint", "task"],
        unique=False,
    )
