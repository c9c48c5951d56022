"""The rows that MLflow has not got yet, and the marks of those that were delivered."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, Engine, Select, false, func, select, update

from autotune.outages import repeatable
from autotune.recording import tables, transactions
from autotune.recording.rows import (
    Environment,
    ReportRow,
    StudyRow,
    TrialRow,
    read_environment,
    read_report,
    read_study,
    read_trial,
)
from autotune.recording.transactions import Guard

_REPORTS_AT_ONCE = 500
_TRIALS_AT_ONCE = 500


@repeatable
class Publication:
    """The rows of one study that changed since MLflow got them last.

    A mark is set only for the version that was delivered, so a change made meanwhile is
    delivered by the next round. ``guard`` is set by the publisher's own lease.
    """

    def __init__(self, engine: Engine, *, study_id: int) -> None:
        self.engine = engine
        self.study_id = study_id
        self.guard: Guard | None = None

    def study(self) -> StudyRow | None:
        """The study as it is now; None when it was deleted."""
        query = select(tables.study).where(tables.study.c.id == self.study_id)
        with transactions.read(self.engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else read_study(row)

    def is_study_changed(self) -> bool:
        """Whether the study's own row has something to deliver."""
        changed = tables.study.c.version != tables.study.c.published_version
        query = select(tables.study.c.id).where(tables.study.c.id == self.study_id, changed)
        with transactions.read(self.engine) as connection:
            return connection.execute(query).first() is not None

    def changed_trials(self) -> tuple[TrialRow, ...]:
        """Trials that changed, or have reports to deliver, by number."""
        waiting = select(tables.report.c.trial_id).where(tables.report.c.is_published == false())
        changed = tables.trial.c.version != tables.trial.c.published_version
        query = select(tables.trial).where(
            tables.trial.c.study_id == self.study_id, changed | tables.trial.c.id.in_(waiting)
        )
        with transactions.read(self.engine) as connection:
            rows = connection.execute(query.order_by(tables.trial.c.number)).mappings()
            return tuple(read_trial(row) for row in rows)

    def waiting_reports(self, trial: TrialRow) -> tuple[ReportRow, ...]:
        """The trial's next reports to deliver, a limited number, in order."""
        mine = (tables.report.c.trial_id == trial.id) & (tables.report.c.is_published == false())
        query = select(tables.report, tables.trial.c.number).join(tables.trial).where(mine)
        with transactions.read(self.engine) as connection:
            rows = connection.execute(query.order_by(tables.report.c.epoch).limit(_REPORTS_AT_ONCE)).mappings()
            return tuple(read_report(row) for row in rows)

    def last_epoch(self, trial: TrialRow) -> int:
        """The trial's last recorded epoch; 0 where it has none."""
        query = select(func.coalesce(func.max(tables.report.c.epoch), 0)).where(tables.report.c.trial_id == trial.id)
        with transactions.read(self.engine) as connection:
            return int(connection.execute(query).scalar_one())

    def environments(self, keys: AbstractSet[int | None]) -> Mapping[int, Environment]:
        """The environments with these ids; None among them is ignored."""
        environment = tables.environment
        query = select(environment).where(environment.c.id.in_(keys - {None}))
        with transactions.read(self.engine) as connection:
            return {row["id"]: read_environment(row) for row in connection.execute(query).mappings()}

    def num_waiting(self) -> int:
        """Rows that wait: reports, changed trials, and the study's own."""
        trial, report, study = tables.trial, tables.report, tables.study
        mine = trial.c.study_id == self.study_id
        queries = (
            select(func.count()).select_from(trial).where(mine, trial.c.version != trial.c.published_version),
            select(func.count()).select_from(report).join(trial).where(mine, report.c.is_published == false()),
            select(func.count())
            .select_from(study)
            .where(study.c.id == self.study_id, study.c.version != study.c.published_version),
        )
        with transactions.read(self.engine) as connection:
            return sum(connection.execute(query).scalar_one() for query in queries)

    def run_ids(self) -> AbstractSet[str]:
        """MLflow's runs that rows of the study know: its own, and its trials'."""
        trial, study = tables.trial, tables.study
        queries = (
            select(trial.c.run_id).where(trial.c.study_id == self.study_id, trial.c.run_id.is_not(None)),
            select(study.c.run_id).where(study.c.id == self.study_id, study.c.run_id.is_not(None)),
        )
        with transactions.read(self.engine) as connection:
            return {run_id for query in queries for run_id in connection.execute(query).scalars()}

    def set_experiment(self, *, tracking_uri: str, experiment_id: str, run_id: str) -> None:
        """Record where MLflow has the study."""
        mine = update(tables.study).where(tables.study.c.id == self.study_id)
        with transactions.write(self.engine, guard=self.guard) as connection:
            values = {"tracking_uri": tracking_uri, "experiment_id": experiment_id, "run_id": run_id}
            connection.execute(mine.values(values))

    def set_run(self, trial: TrialRow, *, run_id: str) -> None:
        """Record which MLflow run is the trial's."""
        with transactions.write(self.engine, guard=self.guard) as connection:
            connection.execute(update(tables.trial).where(tables.trial.c.id == trial.id).values(run_id=run_id))

    def is_delivered_to(self, shown_uri: str) -> bool:
        """Whether that MLflow has all of the study already."""
        study = self.study()
        return study is None or (study.tracking_uri == shown_uri and self.num_waiting() == 0)

    def mark_study(self, study: StudyRow) -> None:
        """Mark this version of the study's row as delivered."""
        mine = update(tables.study).where(tables.study.c.id == study.id)
        with transactions.write(self.engine, guard=self.guard) as connection:
            connection.execute(mine.values(published_version=study.version))

    def mark_trial(self, trial: TrialRow) -> None:
        """Mark this version of the trial's row as delivered."""
        mine = update(tables.trial).where(tables.trial.c.id == trial.id)
        with transactions.write(self.engine, guard=self.guard) as connection:
            connection.execute(mine.values(published_version=trial.version))

    def mark_reports(self, trial: TrialRow, *, epochs: Sequence[int]) -> None:
        """Mark these epochs of the trial as delivered."""
        mine = (tables.report.c.trial_id == trial.id) & tables.report.c.epoch.in_(list(epochs))
        with transactions.write(self.engine, guard=self.guard) as connection:
            connection.execute(update(tables.report).where(mine).values(is_published=True))

    def give_up(self, trial: TrialRow) -> None:
        """Mark this version of the trial and all its reports as delivered, though MLflow refuses them."""
        mine = update(tables.report).where(tables.report.c.trial_id == trial.id)
        with transactions.write(self.engine, guard=self.guard) as connection:
            connection.execute(mine.values(is_published=True))
            this = update(tables.trial).where(tables.trial.c.id == trial.id)
            connection.execute(this.values(published_version=trial.version))

    def forget_missing(self, runs: AbstractSet[str]) -> None:
        """Let trials wait for delivery again whose MLflow run is not among ``runs``."""
        query = select(tables.trial.c.id, tables.trial.c.run_id).where(
            tables.trial.c.study_id == self.study_id, tables.trial.c.run_id.is_not(None)
        )
        with transactions.read(self.engine) as connection:
            missing = [key for key, run_id in connection.execute(query) if run_id not in runs]
        for start in range(0, len(missing), _TRIALS_AT_ONCE):
            some = missing[start : start + _TRIALS_AT_ONCE]
            with transactions.write(self.engine, guard=self.guard) as connection:
                _forget_runs(connection, some)

    def forget_run(self, trial: TrialRow) -> None:
        """Let the trial wait for delivery again, with a new run."""
        with transactions.write(self.engine, guard=self.guard) as connection:
            _forget_runs(connection, [trial.id])

    def forget(self) -> None:
        """Let everything wait for delivery again, after MLflow lost it or for another MLflow."""
        trials = select(tables.trial.c.id).where(tables.trial.c.study_id == self.study_id)
        nowhere = {"tracking_uri": None, "experiment_id": None, "run_id": None, "published_version": 0}
        with transactions.write(self.engine, guard=self.guard) as connection:
            _forget_runs(connection, trials)
            connection.execute(update(tables.study).where(tables.study.c.id == self.study_id).values(nowhere))


def _forget_runs(connection: Connection, trials: Select[tuple[int]] | Sequence[int]) -> None:
    """Let the trials with these ids, and their reports, wait for delivery to new runs."""
    again = update(tables.report).where(tables.report.c.trial_id.in_(trials))
    connection.execute(again.values(is_published=False))
    nowhere = update(tables.trial).where(tables.trial.c.id.in_(trials))
    connection.execute(nowhere.values(run_id=None, published_version=0))
