from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from tests.stores import copy_store

SPEC = '{"objectives": [{"metric": "val_accuracy", "direction": "maximize"}]}'


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/autotune.db"


@pytest.fixture
def records(storage: str) -> Iterator[Records]:
    engine = open_database(storage, create=True)
    yield Records(engine)
    engine.dispose()


@pytest.fixture
def study(records: Records) -> StudyRow:
    new = NewStudy(name="digits", task="package:Digits", spec_text="task: package:Digits\n", spec_json=SPEC, seed=1)
    return records.create_study(new)


@pytest.fixture
def tracking_uri(tmp_path: Path, empty_store: Path) -> str:
    return copy_store(empty_store, folder=tmp_path)
