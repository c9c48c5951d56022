"""Addresses at which a browser shows a study, while the two servers run."""

from dataclasses import dataclass

from autotune.errors import StorageError
from autotune.recording.database import normalise_url
from autotune.recording.mlflow.server import compare_address, experiment_address, server_base
from autotune.recording.places import Places
from autotune.recording.ranking import rank_trials
from autotune.report.summaries.reading import StudyReport, open_records
from autotune.report.summaries.studies import rank_incomplete
from autotune.report.text.places import DASHBOARD_PORT

NUM_COMPARED = 3
"""Best trials that the compare page shows beside the baseline."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Addresses of one study's pages; None for a page that has nothing to show."""

    dashboard: str
    mlflow_runs: str | None
    mlflow_compare: str | None
    """The page with the best trials and the baseline side by side."""


def study_addresses(report: StudyReport, *, places: Places) -> Addresses:
    """Where ``autotune dashboard`` and ``autotune mlflow`` show the study with their usual ports.

    Where MLflow is a server, the addresses are that server's.
    """
    study = report.study
    base = server_base(places.tracking_uri)
    experiment_id = study.mlflow_experiment_id
    runs = _compared_runs(report)
    return Addresses(
        dashboard=_dashboard_address(report, storage=places.storage),
        mlflow_runs=experiment_address(base, experiment_id=experiment_id) if experiment_id else None,
        mlflow_compare=compare_address(base, run_ids=runs, experiment_id=experiment_id)
        if experiment_id and len(runs) > 1
        else None,
    )


def runs_addresses(storage: str, *, base: str) -> tuple[tuple[str, str], ...]:
    """Names of the storage's studies, the newest first, and where MLflow at ``base`` lists their runs.

    Empty for a storage that does not exist, since MLflow can be used without one.
    """
    try:
        rows = open_records(storage).studies()
    except StorageError:
        return ()
    return tuple(
        (row.name, experiment_address(base, experiment_id=row.experiment_id))
        for row in reversed(rows)
        if row.experiment_id
    )


def _dashboard_address(report: StudyReport, *, storage: str) -> str:
    from autotune.search.dashboard import find_study_id, study_address

    base = f"http://127.0.0.1:{DASHBOARD_PORT}"
    try:
        study_id = find_study_id(normalise_url(storage), name=report.study.name)
    except StorageError:  # a start was cut off before Optuna had its tables
        return base
    return base if study_id is None else study_address(base, study_id=study_id)


def _compared_runs(report: StudyReport) -> tuple[str, ...]:
    objective = report.study.objectives[0]
    ranked = rank_trials(report.trials, objective=objective)
    # A young study has few complete trials: others fill the page up.
    trials = [*ranked, *rank_incomplete(report.trials, objective=objective)][:NUM_COMPARED]
    if report.study.baseline is not None and report.study.baseline not in trials:
        trials.append(report.study.baseline)
    return tuple(trial.mlflow_run_id for trial in trials if trial.mlflow_run_id)
