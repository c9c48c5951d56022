"""A study deleted from everywhere that it was written to."""

from contextlib import ExitStack

from autotune.recording.ablated import find_ablation
from autotune.recording.confirmed import find_confirmation
from autotune.recording.database import creation_lock, normalise_url, open_database
from autotune.recording.engines import configure_engine
from autotune.recording.files import StudyFiles, artifacts_folder, files_root
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.store import delete_experiment
from autotune.recording.records import Records
from autotune.search.notes import delete_files
from autotune.search.races import delete_races
from autotune.search.storage import open_storage
from autotune.search.stored import delete_search


def delete_study(storage: str, *, name: str, tracking_uri: str) -> str | None:
    """Delete the study with its confirmation and ablation: MLflow, Optuna's study, files, and our rows last.

    In this order, what a crash leaves can be deleted by the same command.

    Returns:
        One line when MLflow could not be reached and keeps its copy; None otherwise.

    Raises:
        StudyNotFoundError: There is no such study.
        StudyHeldError: A coordinator runs it.
    """
    url = normalise_url(storage)
    with ExitStack() as stack:
        records = Records(open_database(url, create=False))
        stack.callback(records.engine.dispose)
        study = records.study(name)
        StudyLease.acquire(records, study=study)  # first: of a study that runs nothing is deleted
        problem = None
        for own in (find_confirmation(records, study=study), find_ablation(records, study=study)):
            if own is not None:
                problem = delete_study(storage, name=own.name, tracking_uri=tracking_uri) or problem
        problem = delete_experiment(study, tracking_uri=tracking_uri) or problem
        with creation_lock(url):
            optuna_storage = open_storage(url, configure_engine=configure_engine)
        stack.callback(optuna_storage.engine.dispose)
        delete_files(name, storage=optuna_storage, folder=artifacts_folder(url))
        delete_search(name, storage=optuna_storage)
        delete_races(name, storage=optuna_storage)
        StudyFiles.of(study, root=files_root(url)).remove_all()
        records.delete_study(study)
        return problem
