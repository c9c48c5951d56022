import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.coordinator.room import check_room
from autotune.errors import StorageError
from autotune.spec.model import Checkpoints
from tests.faults.disks import mounted
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
