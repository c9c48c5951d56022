"""Repairs an MLflow store that was moved or copied: its rows still name the folder where the artifacts lay before."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from sqlalchemy import String, column, create_engine, func, literal, table, update

from autotune.recording.mlflow.store import artifacts_folder, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables of MLflow 3 with the columns that hold addresses of artifacts; no call of its client changes them."""


def follow_artifacts(client: "MlflowClient", *, experiment_id: str, tracking_uri: str) -> None:
    """Make the rows of an experiment in a SQLite store name the folder where its artifacts lie now.

    That is beside the store, under the same name as before. Nothing is changed where there is no such folder.
    """
    path, folder = sqlite_path(tracking_uri), artifacts_folder(tracking_uri)
    if path is None or folder is None:
        return
    location = str(client.get_experiment(experiment_id).artifact_location)
    before = urlparse(location)
    here = folder / Path(unquote(before.path)).name
    if before.scheme != "file" or location == here.as_uri() or not here.is_dir():
        return
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 60})
    with engine.begin() as connection:
        for name, key in _PLACES:
            place = column(key, String())
            is_below = func.substr(place, 1, len(location) + 1).in_([location, f"{location}/"])
            moved = literal(here.as_uri()).op("||")(func.substr(place, len(location) + 1))
            connection.execute(update(table(name, place)).where(is_below).values({key: moved}))
    engine.dispose()
