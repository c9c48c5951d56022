"""MLflow's model registry: a trial's model under a name, as one version of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autotune.errors import RunError
from autotune.recording.database import open_database
from autotune.recording.mlflow.log_model import log_model, ready_model
from autotune.recording.mlflow.store import absolute_uri, explain_failure, open_client
from autotune.recording.records import Records

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """One version in the registry; the fields are the keys of its JSON."""

    model: str
    version: int
    uri: str
    """For ``mlflow.pytorch.load_model``."""
    study: str
    number: int
    """The trial's number."""


def register_model(storage: str, *, study: str, number: int, tracking_uri: str, model: str) -> RegisteredModel:
    """The trial's model as a version of ``model``; the same model is registered under a name once.

    A model that is not logged to the trial's run yet is logged first, from its checkpoint.

    Raises:
        RunError: MLflow refused the name or can't be reached, or there is no model to register.
    """
    records = Records(open_database(storage, create=False))
    run_id = records.trial(records.study(study), number=number).run_id
    records.engine.dispose()
    if run_id is None:
        raise RunError(
            f"trial {number}: MLflow has no run of it yet; `autotune study sync {study}` delivers what waits"
        )
    from mlflow.exceptions import MlflowException

    try:
        client = open_client(tracking_uri)
        model_id = ready_model(client, run_id)
        if model_id is None:
            problem = log_model(storage, study=study, number=number, tracking_uri=tracking_uri)
            model_id = ready_model(client, run_id)
            if model_id is None:
                raise RunError(problem or f"trial {number}: its model was not logged")
        origin = f"{study}/{number}"
        version = _version(
            client, model=model, model_id=model_id, run_id=run_id, origin=origin, tracking_uri=tracking_uri
        )
    except MlflowException as error:
        raise RunError(f"{explain_failure(tracking_uri, error)}; choose another name, or mend that") from error
    return RegisteredModel(model=model, version=version, uri=f"models:/{model}/{version}", study=study, number=number)


def _version(client: "MlflowClient", *, model: str, model_id: str, run_id: str, origin: str, tracking_uri: str) -> int:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    quoted = model.replace("'", "\\'")
    for known in client.search_model_versions(f"name = '{quoted}'"):
        if known.model_id == model_id or known.source == f"models:/{model_id}":
            return int(known.version)
    tags = {"autotune.trial": origin}
    with _everywhere(tracking_uri):
        made = client.create_model_version(
            model, source=f"models:/{model_id}", run_id=run_id, model_id=model_id, tags=tags
        )
    return int(made.version)


@contextmanager
def _everywhere(tracking_uri: str) -> Iterator[None]:
    """MLflow looks a ``models:/`` address up in the store that is set for the process, not in its client's."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(absolute_uri(tracking_uri))
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
