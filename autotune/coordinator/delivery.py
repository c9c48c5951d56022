"""Records that MLflow has not got, delivered without starting a study."""

from autotune.recording.database import normalise_url, open_database
from autotune.recording.publisher import Publisher, PublishState
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
