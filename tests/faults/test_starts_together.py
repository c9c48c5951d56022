"""Eight processes start studies on a database and an MLflow store that do not exist yet: none crashes."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from autotune.recording.database import open_database
from autotune.recording.records import Records
from tests.faults.starting_together import NUM_PROCESSES

CHECKOUT = Path(__file__).parents[2]
NAMES = [f"study-{number}" for number in range(NUM_PROCESSES)]


def _start(storage: str, folder: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.starting_together", storage, str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=160, check=False)
    assert done.returncode == 0, done.stderr


def _study_names(storage: str) -> list[str]:
    records = Records(open_database(storage, create=False))
    names = sorted(study.name for study in records.studies())
    records.engine.dispose()
    return names


@pytest.mark.slow
def test_eight_processes_make_one_sqlite_database_and_one_mlflow_store(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/autotune.db"
    _start(storage, tmp_path)
    assert _study_names(storage) == NAMES
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    assert sorted(each.name for each in client.search_experiments() if each.name != "Default") == NAMES


@pytest.mark.postgres
@pytest.mark.slow
def test_eight_processes_make_the_tables_of_one_postgresql_database(tmp_path: Path, postgres_url: str) -> None:
    _start(postgres_url, tmp_path)
    assert _study_names(postgres_url) == NAMES
