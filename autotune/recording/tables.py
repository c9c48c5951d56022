"""Our own tables, beside Optuna's in the same database.

The migrations in ``migrations/`` make these tables; a test holds that the two agree.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

VERSION_TABLE = "autotune_alembic_version"
"""Our own name for Alembic's table, since Optuna keeps an ``alembic_version`` in the same database."""

HEAD_REVISION = "0009"
"""The newest migration; it is named here so that opening a current database needs no Alembic."""

metadata = MetaData()

study = Table(
    "autotune_study",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", String(32), nullable=False, unique=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("task", Text, nullable=False),
    Column("task_digest", String(32)),
    Column("spec_text", Text, nullable=False),
    Column("spec_json", Text, nullable=False),
    Column("resolved_json", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("elapsed_seconds", Double, nullable=False),
    Column("speed_seconds", Double, nullable=False, server_default=text("0")),
    Column("tracking_uri", Text),
    Column("experiment_id", String(64)),
    Column("run_id", String(64)),
    Column("version", Integer, nullable=False),
    Column("published_version", Integer, nullable=False),
)

environment = Table(
    "autotune_environment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("hardware_fingerprint", String(16), nullable=False),
    Column("software_fingerprint", String(16), nullable=False),
    Column("machine", Text, nullable=False),
)

trial = Table(
    "autotune_trial",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("autotune_study.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("optuna_id", Integer),
    Column("parameters", Text, nullable=False),
    Column("origin", Text),
    Column("is_baseline", Boolean, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("status", String(20), nullable=False),
    Column("outcome", String(20)),
    Column("reason", Text),
    Column("traceback", Text),
    Column("objective_values", Text),
    Column("in_force", Text, nullable=False),
    Column("device", String(64)),
    Column("environment_id", Integer, ForeignKey("autotune_environment.id")),
    Column("git_commit", String(64)),
    Column("pid", BigInteger),
    Column("restarts", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("setup_seconds", Double),
    Column("samples_per_second", Double),
    Column("is_contended", Boolean, nullable=False, server_default=false()),
    Column("is_out_of_memory", Boolean, nullable=False, server_default=false()),
    Column("checkpoint_problem", Text),
    Column("num_parameters", BigInteger),
    Column("unread_parameters", Text, nullable=False),
    Column("run_id", String(64)),
    Column("version", Integer, nullable=False),
    Column("published_version", Integer, nullable=False),
    Column("worker", String(32)),
    Column("speed_fallback", Text),
    UniqueConstraint("study_id", "number"),
)
Index(
    "autotune_trial_open",
    trial.c.study_id,
    sqlite_where=text("status != 'ended'"),
    postgresql_where=text("status != 'ended'"),
)
Index(
    "autotune_trial_unpublished",
    trial.c.study_id,
    sqlite_where=trial.c.version != trial.c.published_version,
    postgresql_where=trial.c.version != trial.c.published_version,
)

report = Table(
    "autotune_report",
    metadata,
    Column("trial_id", Integer, ForeignKey("autotune_trial.id"), primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("step", BigInteger, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("lr", Double),
    Column("samples", BigInteger, nullable=False),
    Column("seconds", Double),
    Column("evaluation_seconds", Double),
    Column("samples_per_second", Double),
    Column("step_seconds_p50", Double),
    Column("step_seconds_p95", Double),
    Column("data_wait_share", Double),
    Column("peak_memory_bytes", BigInteger, nullable=False),
    Column("device_utilisation", Double),
    Column("power_watts", Double),
    Column("trained_seconds", Double),
    Column("trained_samples", BigInteger),
    Column("at", Double),
    Column("is_published", Boolean, nullable=False, server_default=false()),
)
Index(
    "autotune_report_unpublished",
    report.c.trial_id,
    sqlite_where=report.c.is_published == false(),
    postgresql_where=report.c.is_published == false(),
)

race = Table(
    "autotune_race",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("autotune_study.id")),
    Column("hardware_fingerprint", String(16), nullable=False),
    Column("software_fingerprint", String(16), nullable=False),
    Column("task", Text, nullable=False),
    Column("workload", Text, nullable=False),
    Column("workload_digest", String(32), nullable=False),
    Column("device", String(64), nullable=False),
    Column("num_cores", Integer, nullable=False),
    Column("setting", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("baseline_samples_per_second", Double),
    Column("samples_per_second", Double),
    Column("peak_memory_bytes", BigInteger),
    Column("seconds", Double, nullable=False),
    Column("created_at", Double, nullable=False),
)
Index("autotune_race_known", race.c.hardware_fingerprint, race.c.software_fingerprint, race.c.task)

race_unfinished = Table(
    "autotune_race_unfinished",
    metadata,
    Column("study_id", Integer, ForeignKey("autotune_study.id"), primary_key=True, autoincrement=False),
    Column("hardware_fingerprint", String(16), primary_key=True),
    Column("software_fingerprint", String(16), primary_key=True),
    Column("workload_digest", String(32), primary_key=True),
    Column("seconds", Double, nullable=False),
)

lease = Table(
    "autotune_lease",
    metadata,
    Column("study_id", Integer, ForeignKey("autotune_study.id"), primary_key=True, autoincrement=False),
    Column("role", String(20), primary_key=True),
    Column("token", String(32), nullable=False),
    Column("host", Text, nullable=False),
    Column("hostname", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("birth", String(40), nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("acquired_at", Double, nullable=False),
    Column("activity", Text),
    Column("activity_trial_seconds", Double),
    Column("activity_ends_at", Double),
)
