from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autotune.recording.database import open_database
from autotune.recording.records import Records
from tests.faults.disks import mounted

SPEC = """
task: package.module:Task
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 1000, epochs: 3}
sampler: random
pruner: {hyperband: {min_epochs: 1}}
learning: {lr: {low: 1e-5, high: 1, log: true}, width: {low: 8, high: 64}}
speed_search: fixed
baseline: {lr: 1e-3, width: 16}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """The file of a study whose trials only report: its task is nowhere."""
    path = tmp_path / "study.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def open_records(request: pytest.FixtureRequest) -> Callable[[str], Records]:
    """Opens the records of a database that is there, each time by connections of their own."""

    def open_again(url: str) -> Records:
        engine = open_database(url, create=False)
        request.addfinalizer(engine.dispose)
        return Records(engine)

    return open_again


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that a few megabytes fill."""
    with mounted(tmp_path / "disk", megabytes=4) as folder:
        yield folder
