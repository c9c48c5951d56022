"""Whose database a study may be made in."""

from pathlib import Path

import optuna
import pytest

from autotune.coordinator.opening.order import StartOrder
from autotune.coordinator.opening.refusals import check_existing
from autotune.errors import StorageError
from autotune.recording.places import Places
from autotune.spec.load import load_spec
from tests.coordinator.simulated import Told


def check(path: Path, *, name: str = "digits") -> list[str]:
    told = Told()
    order = StartOrder(
        file=load_spec("digits"), name=name, places=Places(storage=f"sqlite:///{path}", tracking_uri="none")
    )
    check_existing(order, observer=told)
    return told.lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that Optuna made, with a study."""
    path = tmp_path / "mine.db"
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    optuna.create_study(storage=storage, study_name="mine")
    storage.engine.dispose()
    return path


def test_start_in_a_database_of_optunas_says_what_becomes_of_it(path: Path) -> None:
    before = path.read_bytes()
    assert check(path) == [
        f"sqlite:///{path} is a database of Optuna's: its 1 study stays, with autotune's tables beside"
    ]
    assert path.read_bytes() == before


def test_start_under_the_name_of_a_study_of_optunas_is_refused_before_anything_is_made(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(StorageError, match="study mine: its name must be new to Optuna's tables"):
        check(path, name="mine")
    assert path.read_bytes() == before


def test_start_in_a_database_of_another_optuna_is_refused_before_anything_is_made(path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v3.0.0.a'")
    storage.engine.dispose()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"^--storage: Optuna's tables must be .*`optuna storage upgrade --storage"):
        check(path)
    assert path.read_bytes() == before


def test_start_where_there_is_no_database_yet_says_nothing(tmp_path: Path) -> None:
    assert check(tmp_path / "new.db") == []
    assert list(tmp_path.iterdir()) == []
