"""Which MLflow a study goes to, and how its client is opened: no telemetry, no chatter, no long waits."""

import glob
import logging
import os
import re
import uuid
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from autotune.errors import InputError
from autotune.recording.mlflow.runs_view import VIEW_TAG, view_tag
from autotune.recording.transactions import without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from autotune.recording.rows import StudyRow

STUDY_TAG = "autotune.study"
"""Tag of an experiment and all its runs that holds the study's uid."""

RUN_TAG = "autotune.run"
"""Tag of a run that holds ``study`` or its trial's number, so that a run can be found that no row knows yet."""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # The publisher tries again by itself: one long call would keep it from noticing that it should end.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # A server that takes ten seconds for each answer is slow, not dead.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Environment variables of MLflow for every process that we start; those that the user set are kept."""

_FAILURES = {
    "Connection refused": "connection refused",
    "disk is full|No space left on device": "no space left on device; make room there",
    "timed out|TimeoutError|ReadTimeout|ConnectTimeout": "no answer in time",
    "Name or service not known|NameResolutionError|getaddrinfo": "no host of this name",
    "unsupported URI": "no address of its kinds of store; use sqlite:///FILE, postgresql://HOST/NAME or http://HOST",
    "filesystem tracking backend": "it refuses plain folders; use sqlite:///FILE or a server",
    r"database is locked": "its database is locked by another process",
    r"(too many )?50\d error responses?|failed with error code 50\d": "the server fails (an HTTP error of its own)",
}


_SCHEMES = frozenset({"http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc"})
"""What addresses of MLflow's own stores begin with; a plug-in may bring others. Plain folders are none any more."""
_PLUGINS = "mlflow.tracking_store"
_FOLDERS_ALLOWED = "MLFLOW_ALLOW_FILE_STORE"


def check_uri(tracking_uri: str) -> None:
    """Refuse what is an address of none of MLflow's kinds of store; imports no MLflow, which takes seconds.

    Raises:
        InputError: MLflow would never take a record there.
    """
    scheme = tracking_uri.partition(":")[0].lower()
    if scheme.partition("+")[0] in _SCHEMES or scheme in entry_points(group=_PLUGINS).names:
        return
    is_folder = ":" not in tracking_uri or scheme == "file" or len(scheme) == 1  # a drive's letter
    if is_folder and os.environ.get(_FOLDERS_ALLOWED, "").lower() in {"true", "1"}:
        return
    raise InputError(
        f"--tracking-uri: must be the address of one of MLflow's kinds of store, got {shown_uri(tracking_uri)}"
        f"{', a plain folder' if is_folder else ''}; use sqlite:///FILE, postgresql://HOST/NAME or http://HOST"
    )


def absolute_uri(tracking_uri: str) -> str:
    """The URI with a SQLite file's path made absolute: it means the same store from any folder."""
    path = sqlite_path(tracking_uri)
    return tracking_uri if path is None else f"sqlite:///{path}"


def shown_uri(tracking_uri: str) -> str:
    """The URI without its password."""
    try:
        return without_password(make_url(tracking_uri))
    except ArgumentError:
        return tracking_uri


def artifacts_folder(tracking_uri: str) -> Path | None:
    """The folder for a database store's artifacts: beside a SQLite file, else below ``mlruns``; None for a server."""
    path = sqlite_path(tracking_uri)
    if path is not None:
        return path.parent / "artifacts"
    if tracking_uri.startswith(("postgresql", "mysql", "mssql")):
        return Path("mlruns/artifacts").absolute()
    return None


def open_client(tracking_uri: str) -> "MlflowClient":
    """A client of the store, which is made under a file lock where it is a SQLite file that is not there.

    Settings that the user made in the environment win over ours.

    Raises:
        mlflow.exceptions.MlflowException: The store can't be opened.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # A store that fails prints the traceback of every attempt; what failed is told in one line, once.
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)
    path = sqlite_path(tracking_uri)
    if path is None:
        return MlflowClient(tracking_uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _make_store(path)
        return MlflowClient(absolute_uri(tracking_uri))


def _make_store(path: Path) -> None:
    """Make a store with all of MLflow's tables, or leave none.

    MLflow makes them by dozens of migrations, each in transactions of its own: killed among them,
    or out of space, it leaves a file that it can neither use nor mend ever after.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    _remove_half_made(path)
    # A name for each attempt: MLflow keeps connections by URI, also those to a file that is gone.
    making = path.with_name(f"{path.name}.making-{uuid.uuid4().hex[:8]}")
    try:
        store = SqlAlchemyStore(f"sqlite:///{making}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)  # type: ignore[no-untyped-call]
        store.engine.dispose()
        making.replace(path)
    except SQLAlchemyError as error:
        _remove_half_made(path)  # else it would be what fills the disk
        raise MlflowException(str(error)) from error


def _remove_half_made(path: Path) -> None:
    """Delete what an attempt to make this file has left."""
    for each in path.parent.glob(f"{glob.escape(path.name)}.making-*"):
        each.unlink(missing_ok=True)


def find_experiment(client: "MlflowClient", *, uid: str, known: str | None = None) -> str | None:
    """The id of the study's active experiment: ``known`` if it is one, else the first that was made.

    There may be others: an MLflow that answers too late makes one more than was waited for. They
    have no run, and are deleted.
    """
    query = f"tags.`{STUDY_TAG}` = '{uid}'"
    found = client.search_experiments(filter_string=query, order_by=["creation_time ASC"])
    ids = [str(experiment.experiment_id) for experiment in found]
    if not ids:
        return None
    chosen = known if known in ids else ids[0]
    for other in ids:
        if other != chosen and not client.search_runs([other], max_results=1):
            client.delete_experiment(other)
    return chosen


def delete_experiment(study: "StudyRow", *, tracking_uri: str) -> str | None:
    """Rename the study's experiment, then delete it softly, so that the name is free again.

    MLflow keeps the name of a deleted experiment taken; ``mlflow gc`` removes it for good.

    Returns:
        One line that says why it is still there; None when it is gone, or never was.
    """
    path = sqlite_path(tracking_uri)
    if path is not None and not path.exists():
        return None
    from mlflow.exceptions import MlflowException

    try:
        client = open_client(tracking_uri)
        experiment_id = find_experiment(client, uid=study.uid)
        if experiment_id is not None:
            client.rename_experiment(experiment_id, f"{study.name} (deleted {uuid.uuid4().hex[:8]})")
            client.delete_experiment(experiment_id)
    except MlflowException as error:
        return explain_failure(tracking_uri, error)
    return None


def explain_failure(tracking_uri: str, error: Exception) -> str:
    """One line for what went wrong with MLflow; the libraries' own are long, and name their objects."""
    text = str(error)
    for pattern, short in _FAILURES.items():
        if re.search(pattern, text, re.IGNORECASE):
            return f"MLflow at {shown_uri(tracking_uri)}: {short}"
    lines = text.strip().splitlines() or [type(error).__name__]
    return f"MLflow at {shown_uri(tracking_uri)}: {lines[0][:200]}"


def find_problem(tracking_uri: str) -> str | None:
    """Why the store does not answer, in one line; None where it does, or is a file that is not made yet."""
    path = sqlite_path(tracking_uri)
    if path is not None and not path.exists():
        return None
    from mlflow.exceptions import MlflowException

    try:
        open_client(tracking_uri).search_experiments(max_results=1)
    except MlflowException as error:
        return explain_failure(tracking_uri, error)
    return None


def create_experiment(client: "MlflowClient", *, study: "StudyRow", tracking_uri: str) -> str:
    """A new experiment named after the study, or ``NAME-2`` and so on where others have that name."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    folder = artifacts_folder(tracking_uri)
    location = None if folder is None else (folder / f"{study.name}-{study.uid[:8]}").as_uri()
    tags = {STUDY_TAG: study.uid, VIEW_TAG: view_tag(study)}
    number = 1
    while True:
        name = study.name if number == 1 else f"{study.name}-{number}"
        try:
            return client.create_experiment(name, artifact_location=location, tags=tags)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        there = client.get_experiment_by_name(name)
        if there is not None and there.tags.get(STUDY_TAG) == study.uid and there.lifecycle_stage == "active":
            return str(there.experiment_id)  # asked for earlier, and made too late to be waited for
        number += 1


def sqlite_path(tracking_uri: str) -> Path | None:
    """The file of a SQLite store, made absolute; None for any other store."""
    if not tracking_uri.startswith("sqlite:///"):
        return None
    return Path(tracking_uri.removeprefix("sqlite:///").partition("?")[0]).absolute()
