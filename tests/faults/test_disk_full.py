"""One fault each: a disk is full. The cause is named, nothing is corrupt, and the same command goes on with room."""

import resource
import subprocess
from pathlib import Path

import pytest
import torch

from autotune.training.checkpoint_file import CheckpointFile, read_checkpoint, write_checkpoint
from autotune.training.rng import capture_rng
from autotune.training.saving import LEFT_FREE_BYTES, Saver
from autotune.trial.log import TrialLog
from tests.faults.disks import fill, mounted


def content(value: float, *, num_numbers: int = 500_000) -> CheckpointFile:
    numbers = torch.full((num_numbers,), value)
    return {"format": 1, "objects": {"numbers": numbers}, "own": {}, "rng": capture_rng(torch.device("cpu"))}


def value_of(path: Path) -> float:
    return float(read_checkpoint(path)["objects"]["numbers"][-1])


def test_disk_full_under_a_checkpoint_keeps_the_one_before_and_names_the_cause(small_disk: Path) -> None:
    """torch says of it: unexpected pos 1152 vs 1046."""
    path = small_disk / "checkpoint.pt"
    write_checkpoint(path, content(1.0))
    filler = fill(small_disk)
    with pytest.raises(OSError, match="No space left on device"):
        write_checkpoint(path, content(2.0))
    assert value_of(path) == 1.0
    assert {each.name for each in small_disk.iterdir()} == {"checkpoint.pt", "filler"}
    filler.unlink()
    write_checkpoint(path, content(2.0))
    assert value_of(path) == 2.0


def test_checkpoint_leaves_room_for_the_database(tmp_path: Path) -> None:
    """A study ends where its database finds no room, while a trial goes on without a checkpoint."""
    told: list[str | None] = []
    megabytes = LEFT_FREE_BYTES // 2**20
    with mounted(tmp_path / "disk", megabytes=megabytes + 5) as disk:
        saver = Saver(disk / "checkpoint.pt", tell=told.append)
        assert saver.save(content(1.0), num_bytes=2_000_000)
        assert not saver.save(content(2.0, num_numbers=1_000_000), num_bytes=4_000_000)
        assert not saver.save(content(3.0, num_numbers=1_000_000), num_bytes=4_000_000)
        assert value_of(disk / "checkpoint.pt") == 1.0
        assert saver.save(content(4.0), num_bytes=2_000_000)
        assert value_of(disk / "checkpoint.pt") == 4.0
        assert told == [f"no space left on device, {disk / 'checkpoint.pt'}", None]


def test_limit_on_the_size_of_files_is_named_as_what_it_is(tmp_path: Path) -> None:
    told: list[str | None] = []
    saver = Saver(tmp_path / "checkpoint.pt", tell=told.append)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, usual[1]))
    try:
        assert not saver.save(content(1.0), num_bytes=2_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert told == [f"file larger than is allowed here, {tmp_path / 'checkpoint.pt'}"]
    assert list(tmp_path.iterdir()) == []


def test_disk_full_under_a_log_costs_its_lines_and_says_so_in_their_place(small_disk: Path) -> None:
    path = small_disk / "trial.log"
    log = TrialLog.open(path, max_bytes=100_000)
    log.write(b"first\n")
    filler = fill(small_disk)
    log.write(b"x" * 8192)
    log.write(b"y" * 8192)
    assert str(log.problem) == f"no space left on device, {path}"
    filler.unlink()
    log.write(b"last\n")
    assert log.problem is None
    log.close()
    missing = f"[... 16384 bytes are missing here: no space left on device, {path} ...]"
    assert path.read_text().splitlines() == ["first", "", missing, "last"]


def test_log_that_the_disk_takes_no_file_for_is_kept_in_memory(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    log = TrialLog.open(small_disk / "trial.log", max_bytes=100_000)
    assert log.problem == f"read-only file system, {small_disk / 'trial.log'}"
    log.write(b"a traceback\n")
    assert log.tail(num_lines=1) == "a traceback"
