"""Records that MLflow has not got, or has lost, delivered without starting a study."""

from collections.abc import Callable

from autotune.events import Outcome
from autotune.recording.database import normalise_url, open_database
from autotune.recording.files import StudyFiles, files_root
from autotune.recording.mlflow.log_model import log_model
from autotune.recording.mlflow.publisher import Publisher, PublishState
from autotune.recording.records import Records


def deliver(storage: str, *, name: str | None, tracking_uri: str, timeout: float) -> PublishState:
    """Deliver what waits of the study, or of all studies; returns what is left, and why.

    Args:
        storage: The database.
        name: The study; None for all.
        tracking_uri: MLflow's.
        timeout: Seconds that one study may take.

    Raises:
        StudyNotFoundError: There is no such study.
    """
    url = normalise_url(storage)
    records = Records(open_database(url, create=False))
    studies = records.studies() if name is None else (records.study(name),)
    records.engine.dispose()
    num_waiting, error = 0, None
    for study in studies:
        publisher = Publisher(url, study=study.name, tracking_uri=tracking_uri)
        publisher.start()
        state = publisher.close(timeout=timeout)
        num_waiting += state.num_waiting
        error = state.error or error
    return PublishState(num_waiting=num_waiting, error=error)


def rebuild(storage: str, *, name: str, tracking_uri: str, timeout: float, note: Callable[[str], None]) -> PublishState:
    """Make all runs of the study in an MLflow that has none of them, or lost some; returns what is left, and why.

    Each run is made once, however often this is cut off and called again. The best trial's model
    is logged again where the study logs models and its checkpoint is there.

    Args:
        storage: The database.
        name: The study.
        tracking_uri: MLflow's.
        timeout: Seconds that the records may take.
        note: Told one line about each model that could not be logged.

    Raises:
        StudyNotFoundError: There is no such study.
    """
    url = normalise_url(storage)
    publisher = Publisher(url, study=name, tracking_uri=tracking_uri, is_rebuild=True)
    publisher.start()
    state = publisher.close(timeout=timeout)
    if state.num_waiting == 0 and state.error is None:
        for number in _models(url, name=name):
            problem = log_model(url, study=name, number=number, tracking_uri=tracking_uri)
            if problem is not None:
                note(problem)
    return state


def _models(url: str, *, name: str) -> list[int]:
    """Trials whose model can be logged: complete, and with a checkpoint, as only the best one has."""
    records = Records(open_database(url, create=False))
    study = records.study(name)
    files = StudyFiles.of(study, root=files_root(url))
    complete = [row.number for row in records.trials(study) if row.outcome is Outcome.COMPLETE]
    records.engine.dispose()
    if not study.spec.log_model:
        return []
    return [number for number in complete if files.checkpoint(number).exists()]
