import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from optuna.storages import RDBStorage

from autotune.recording.engines import configure_engine
from autotune.search.storage import open_storage

OpenStorage = Callable[[], RDBStorage]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("optuna") / "empty.db"
    storage = open_storage(f"sqlite:///{path}", configure_engine=configure_engine)
    storage.engine.dispose()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Path:
    path = tmp_path / "study.db"
    shutil.copy(empty_database, path)
    return path


@pytest.fixture
def open_again(database: Path) -> Iterator[OpenStorage]:
    """Opens the same database as a new process would, with nothing remembered."""
    opened: list[RDBStorage] = []

    def opener() -> RDBStorage:
        opened.append(open_storage(f"sqlite:///{database}", configure_engine=configure_engine))
        return opened[-1]

    yield opener
    for storage in opened:
        storage.engine.dispose()


@pytest.fixture
def storage(open_again: OpenStorage) -> RDBStorage:
    return open_again()
