"""What MLflow's parent run shows first: the verdict as its description, and files as artifacts."""

from collections.abc import Mapping

from autotune.recording.mlflow.store import absolute_uri, explain_failure, open_client, shown_uri
from autotune.recording.rows import StudyRow

_DESCRIPTION = "mlflow.note.content"


def describe_runs(study: StudyRow, *, tracking_uri: str, verdict: str, files: Mapping[str, str]) -> str | None:
    """Describe the study's parent run, and log the files to it.

    Returns:
        One line that says why it is not there; None when it is, or when that MLflow has no such run.
    """
    if study.run_id is None or study.tracking_uri != shown_uri(absolute_uri(tracking_uri)):
        return None
    from mlflow.exceptions import MlflowException

    try:
        client = open_client(tracking_uri)
        client.set_tag(study.run_id, _DESCRIPTION, verdict)
        for name, text in files.items():
            client.log_text(study.run_id, text, name)
    except (MlflowException, OSError) as error:
        return explain_failure(tracking_uri, error)
    return None
