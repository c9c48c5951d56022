"""The default places of records, and the options by which printed commands name other places."""

import os
import shlex

from autotune.recording.places import Places

DEFAULT_STORAGE = "sqlite:///autotune.db"
DEFAULT_TRACKING_URI = "sqlite:///mlruns/mlflow.db"
DASHBOARD_PORT = 8080
MLFLOW_PORT = 5000


def storage_option(places: Places) -> str:
    """`` --storage URL`` where a command would not find the storage without it, else nothing."""
    if places.storage == os.environ.get("AUTOTUNE_STORAGE", DEFAULT_STORAGE):
        return ""
    return f" --storage {shlex.quote(_shown(places.storage))}"


def tracking_option(places: Places) -> str:
    """`` --tracking-uri URI`` where a command would not find MLflow's records without it, else nothing."""
    if places.tracking_uri == os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI):
        return ""
    return f" --tracking-uri {shlex.quote(_shown(places.tracking_uri))}"


def _shown(url: str) -> str:
    from autotune.recording.mlflow.store import shown_uri

    return shown_uri(url)
