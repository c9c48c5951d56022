"""One fault each: a disk is full. The cause is named, nothing is corrupt, and the same command goes on with room."""

import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mlflow.exceptions import MlflowException

from autotune.disk import LEFT_FREE_BYTES
from autotune.recording.mlflow.store import explain_failure, open_client
from autotune.training.checkpoints.checkpoint_file import CheckpointFile, read_checkpoint, write_checkpoint
from autotune.training.checkpoints.saving import Saver
from autotune.training.rng import capture_rng
from autotune.trial.log import TrialLog
from tests.e2e.home import Home, histories_of, rows_of, runs_of, wait_until
from tests.faults.disks import fill, mounted
from tests.faults.gated import make_gated_home, open_gates, wait_for_held_trial


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


def test_quota_is_held_over_all_checkpoints_of_the_study(tmp_path: Path) -> None:
    """The one that is written counts beside the one that it replaces."""
    told: dict[int, list[str | None]] = {0: [], 1: []}
    trials = {number: tmp_path / f"trial-{number:05d}" for number in told}
    for folder in trials.values():
        folder.mkdir()
    first, second = (
        Saver(folder / "checkpoint.pt", max_bytes=5_000_000, tell=told[number].append)
        for number, folder in trials.items()
    )
    assert first.save(content(1.0), num_bytes=2_000_000)
    assert first.save(content(2.0), num_bytes=2_000_000)
    assert second.save(content(3.0), num_bytes=2_000_000)
    assert not first.save(content(4.0), num_bytes=2_000_000)
    assert value_of(trials[0] / "checkpoint.pt") == 2.0
    (trials[1] / "checkpoint.pt").unlink()
    assert first.save(content(5.0), num_bytes=2_000_000)
    problem, end = told[0]
    assert re.fullmatch(
        r"checkpoints\.max_bytes allows the study 4\.77 MiB, got 1\.91 MiB more than the 3\.8\d MiB that are used, .*",
        str(problem),
    )
    assert (end, told[1]) == (None, [])


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


def test_mlflow_store_that_a_full_disk_left_half_made_is_made_anew(tmp_path: Path) -> None:
    """Else it could never be opened again: MLflow mends none of its own migrations."""
    with mounted(tmp_path / "mlruns", megabytes=2) as disk:
        uri = f"sqlite:///{disk}/mlflow.db"
        filler = disk / "filler"
        filler.write_bytes(b"\0" * (2**21 - 400_000))
        with pytest.raises(MlflowException) as refused:
            open_client(uri)
        assert explain_failure(uri, refused.value) == f"MLflow at {uri}: no space left on device; make room there"
        assert not (disk / "mlflow.db").exists()
        filler.unlink()
        assert [each.name for each in open_client(uri).search_experiments()] == ["Default"]


NUM_EPOCHS = 20


@dataclass(frozen=True)
class Disks:
    """A home whose database, checkpoints with logs, and MLflow's store are on small disks of their own."""

    home: Home
    database: Path
    files: Path
    store: Path

    def start(self) -> "subprocess.Popen[str]":
        return self.home.start("study", "start", "tiny.yaml", "--storage", f"sqlite:///{self.database}/autotune.db")


@pytest.fixture
def disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Iterator[Disks]:
    home = make_gated_home(tmp_path, trials=3, epochs=NUM_EPOCHS)
    with ExitStack() as stack:
        sizes = {"db": 24, "files": LEFT_FREE_BYTES // 2**20 + 8, "mlruns": 12}
        database, files, store = (
            stack.enter_context(mounted(tmp_path / name, megabytes=size)) for name, size in sizes.items()
        )
        shutil.copy(empty_store, store / "mlflow.db")
        monkeypatch.setenv("AUTOTUNE_FILES", str(files))
        yield Disks(home, database, files, store)


@pytest.mark.slow
def test_study_whose_disks_fill_says_so_and_the_same_command_completes_it_with_room(disks: Disks) -> None:
    folder = disks.home.folder
    study = disks.start()
    held = wait_for_held_trial(folder)
    fillers = [fill(disks.files), fill(disks.store)]
    held.unlink()
    wait_until(lambda: not held.exists() and any(folder.glob("held-*")), timeout=50, what="the second trial")
    fillers.append(fill(disks.database))
    wait_for_held_trial(folder).unlink()
    assert study.wait(timeout=50) == 1, disks.home.output

    output = disks.home.output
    (files,) = disks.files.glob("tiny-*")
    cause = f"no space left on device, {files / 'trial-00000'}"
    assert output.count(f"trial 0: it trains on without its checkpoint: {cause}/checkpoint.pt; make room") == 1
    assert output.count(f"trial 0: what it prints is lost: {cause}/trial.log; make room") == 1
    assert f"Error: sqlite:///{disks.database}/autotune.db: the disk is full (or a quota on it); make room" in output
    assert "Traceback" not in output
    acknowledged = re.findall(r"trial (\d+) epoch (\d+)/\d+: val_accuracy ([\d.]+)", output)
    assert len(acknowledged) >= NUM_EPOCHS

    for filler in fillers:
        filler.unlink()
    open_gates(folder)
    assert disks.start().wait(timeout=50) == 0, disks.home.output
    rows = rows_of(disks.database, "tiny")
    assert [(row.number, row.outcome) for row in rows] == [(number, "complete") for number in range(3)]
    assert [row.checkpoint_problem for row in rows] == [f"{cause}/checkpoint.pt", None, None]
    histories = histories_of(disks.database, "tiny")
    assert [len(history) for history in histories] == [NUM_EPOCHS] * 3
    for number, epoch, value in acknowledged:
        assert histories[int(number)][int(epoch) - 1]["val_accuracy"] == pytest.approx(float(value), abs=1e-5)
    runs = runs_of(folder, "tiny")
    assert {number: run.info.status for number, run in runs.items()} == dict.fromkeys(range(3), "FINISHED")
    assert runs[0].data.tags["checkpoint_problem"] == f"{cause}/checkpoint.pt"
