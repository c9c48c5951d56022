import re
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from autotune.errors import InputError
from autotune.recording.mlflow import store
from autotune.recording.mlflow.store import check_uri


def test_every_kind_of_store_that_mlflow_has_is_taken() -> None:
    """But plain folders, which it refuses itself."""
    with pytest.raises(MlflowException, match="Supported URI schemes are") as refusal:
        MlflowClient("htp://mlflow.example")
    kinds = set(re.findall(r"'([^']*)'", str(refusal.value).partition("schemes are")[2])) - {"", "file"}
    assert len(kinds) >= 6
    for kind in kinds:
        check_uri(f"{kind}://somewhere")


@pytest.mark.parametrize(
    "uri",
    ["databricks", "postgresql+psycopg://host/name", "HTTPS://mlflow.example", "sqlite:///mlruns/mlflow.db"],
)
def test_address_of_a_store_is_taken(uri: str) -> None:
    check_uri(uri)


@pytest.mark.parametrize(
    ("uri", "got"),
    [
        ("htp://user:open-sesame@mlflow.example", r"htp://user:\*\*\*@mlflow.example;"),
        ("localhost:5000", "localhost:5000;"),
        ("127.0.0.1:5000", "127.0.0.1:5000;"),
        ("mlruns", "mlruns, a plain folder;"),
        ("file:///tmp/mlruns", "file:///tmp/mlruns, a plain folder;"),
        ("C:/mlruns", "C:/mlruns, a plain folder;"),
    ],
)
def test_what_is_no_address_of_a_store_is_refused(monkeypatch: pytest.MonkeyPatch, uri: str, got: str) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(
        InputError, match=f"must be the address of one of MLflow's kinds of store, got {got} use sqlite"
    ):
        check_uri(uri)


def test_plain_folder_is_taken_where_mlflow_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    check_uri("mlruns")


def test_store_of_a_plug_in_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = EntryPoint(name="ours", value="ours:Store", group="mlflow.tracking_store")
    monkeypatch.setattr(store, "entry_points", lambda group: EntryPoints([plugin]).select(group=group))
    check_uri("ours://somewhere")
