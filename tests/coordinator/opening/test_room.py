import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.coordinator.opening.room import check_room
from autotune.errors import StorageError
from autotune.recording.database import open_database
from autotune.recording.records import Records
from autotune.spec.load import load_spec
from autotune.spec.model import Checkpoints
from benchmarks.simulated import SimulatedTrials, simulated_session
from tests.faults.disks import mounted
from tests.machines import machine
from tests.report.study_book import make_spec

MEGABYTE = 2**20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 40 MiB; a study leaves its database 16 of them."""
    with mounted(tmp_path / "disk", megabytes=40) as folder:
        yield folder


def check(disk: Path, *, megabytes: int, jobs: int = 1, max_bytes: int | None = None) -> str | None:
    spec = make_spec().model_copy(update={"checkpoints": Checkpoints(max_bytes=max_bytes)})
    url = f"sqlite:///{disk}/autotune.db"
    return check_room(url, name="study", spec=spec, checkpoint_bytes=megabytes * MEGABYTE, jobs=jobs)


def test_study_that_fits_is_let_through(disk: Path) -> None:
    assert check(disk, megabytes=8) is None


def test_room_that_is_missing_is_said_in_one_line(disk: Path) -> None:
    rule = (
        f"{disk}/autotune.files: the study needs 56 MiB here for 2 trials at once and the best one with checkpoints of "
        "about 8 MiB, twice while one is written, and its database, got 40 MiB that are free; make room for 16 MiB "
        "more, or name another folder with AUTOTUNE_FILES, or set checkpoints.max_bytes"
    )
    with pytest.raises(StorageError, match=f"^{re.escape(rule)}$"):
        check(disk, megabytes=8, jobs=2)


def test_checkpoints_that_are_there_need_no_more_room(disk: Path) -> None:
    trial = disk / "autotune.files" / "study-12345678" / "trial-00000"
    trial.mkdir(parents=True)
    (trial / "checkpoint.pt").write_bytes(b"0" * 9 * MEGABYTE)
    assert check(disk, megabytes=8) is None
    with pytest.raises(StorageError, match="got 31 MiB that are free; make room for"):
        check(disk, megabytes=9)


def test_quota_bounds_the_room_that_is_needed_and_says_where_it_is_too_small(disk: Path) -> None:
    assert check(disk, megabytes=8, jobs=2, max_bytes=0) is None
    shortage = check(disk, megabytes=8, jobs=2, max_bytes=20 * MEGABYTE)
    assert shortage is not None
    assert shortage.endswith("may take 40 MiB, got 20 MiB; where it is used up, trials go on without a checkpoint")


def test_database_on_a_disk_of_its_own_is_looked_at_there(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOTUNE_FILES", str(tmp_path / "files"))
    (disk / "filler").write_bytes(b"0" * 30 * MEGABYTE)
    with pytest.raises(
        StorageError, match=r"/disk: the study needs 16 MiB here for its database, got 10 MiB .*--storage"
    ):
        check(disk, megabytes=1)


SPEC = """
task: package.module:Task
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 4, epochs: 3}
sampler: random
pruner: none
learning: {lr: {low: 1e-5, high: 1, log: true}, width: {low: 8, high: 64}}
speed_search: fixed
baseline: {lr: 1e-3, width: 16}
"""


def test_checkpoints_that_nothing_needs_are_gone_when_a_study_goes_on(tmp_path: Path) -> None:
    """A crash between a trial's last record and the deletion of its checkpoint leaves them; the best one's stays."""
    (tmp_path / "study.yaml").write_text(SPEC)
    url = f"sqlite:///{tmp_path}/autotune.db"
    run(tmp_path, url)
    records = Records(open_database(url, create=False))
    rows = records.trials(records.study("study"))
    records.engine.dispose()
    best = max(rows, key=lambda row: row.values or (0.0,)).number
    (folder,) = (tmp_path / "autotune.files").iterdir()
    for row in rows:
        (folder / f"trial-{row.number:05d}").mkdir(exist_ok=True)
        for name in ("checkpoint.pt", "checkpoint.tmp"):
            (folder / f"trial-{row.number:05d}" / name).touch()
    run(tmp_path, url)
    left = sorted(path.relative_to(folder) for path in folder.rglob("checkpoint.*"))
    assert left == [Path(f"trial-{best:05d}") / name for name in ("checkpoint.pt", "checkpoint.tmp")]


def run(folder: Path, url: str) -> None:
    file = load_spec(str(folder / "study.yaml"))
    with simulated_session(file, storage=url, machine=machine(), trials=SimulatedTrials()) as session:
        session.run()
