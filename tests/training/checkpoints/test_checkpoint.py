import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autotune.errors import TaskError
from autotune.events import EpochReport, Event, Outcome, Unsaved
from autotune.training.checkpoints.checkpoint_file import CheckpointFile, read_checkpoint, write_checkpoint
from autotune.training.checkpoints.saving import Saver
from autotune.training.failures import FencedError
from autotune.training.rng import capture_rng, restore_rng, seed_everything, undisturbed_rng
from autotune.training.trial import Trial
from tests.training.tasks import Points
from tests.training.trials import Recorder, train

CPU = torch.device("cpu")


def content(**objects: Any) -> CheckpointFile:
    return {"format": 1, "objects": objects, "own": {}, "rng": capture_rng(CPU)}


def test_checkpoint_comes_back_without_running_code(tmp_path: Path) -> None:
    model = nn.BatchNorm1d(3)
    write_checkpoint(tmp_path / "checkpoint.pt", content(model=model.state_dict(), sums={"lr": [0.1, None, "a"]}))
    objects = read_checkpoint(tmp_path / "checkpoint.pt")["objects"]
    assert torch.equal(objects["model"]["weight"], model.weight)
    assert objects["sums"] == {"lr": [0.1, None, "a"]}


def test_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, content(value=1))

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint(path, content(value=2))
    assert read_checkpoint(path)["objects"] == {"value": 1}


@pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 2000), (500, -1)], ids=["empty", "cut", "no start"])
def test_damaged_checkpoint_says_what_to_do(tmp_path: Path, start: int, end: int) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, content(value=torch.zeros(1000)))
    path.write_bytes(path.read_bytes()[start:end])
    with pytest.raises(TaskError, match=r"checkpoint\.pt: the checkpoint can't be read .*delete it"):
        read_checkpoint(path)


def test_checkpoint_of_another_version_says_what_to_do(tmp_path: Path) -> None:
    torch.save({"format": 0}, tmp_path / "checkpoint.pt")
    with pytest.raises(TaskError, match="of another version of autotune; delete it"):
        read_checkpoint(tmp_path / "checkpoint.pt")


def test_all_generators_go_on_where_they_were() -> None:
    import random

    def draw() -> list[float]:
        return [float(torch.rand(())), random.random(), random.gauss(0, 1), float(np.random.randn())]  # noqa: NPY002

    seed_everything(3)
    draw()
    state = capture_rng(CPU)
    expected = draw()
    draw()
    restore_rng(state, device=CPU)
    assert draw() == expected
    with undisturbed_rng(CPU):
        draw()
    after = draw()
    restore_rng(state, device=CPU)
    draw()
    assert draw() == after


def test_restore_of_other_objects_names_them(tmp_path: Path) -> None:
    def first(trial: Trial) -> None:
        trial.checkpoint.restore(model=nn.Linear(1, 1))
        trial.report(1, val_loss=1.0)

    def second(trial: Trial) -> None:
        trial.checkpoint.restore(net=nn.Linear(1, 1))

    train(first, tmp_path)
    reason = str(train(second, tmp_path).finished.reason)
    assert reason.endswith("the checkpoint holds model, but net are to be restored")


def test_object_without_a_state_is_refused(tmp_path: Path) -> None:
    def saving(trial: Trial) -> None:
        trial.checkpoint.restore(epoch=3)  # type: ignore[arg-type]

    reason = str(train(saving, tmp_path).finished.reason)
    assert reason == "TaskError: checkpoint: epoch: what is saved needs state_dict and load_state_dict, got int"


class Counter:
    """Counts epochs in a tensor that it goes on changing, as an optimizer does."""

    def __init__(self) -> None:
        self.total = torch.zeros(1000)

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total.copy_(state["total"])


def count(trial: Trial, *, counter: Counter, gate: threading.Event | None = None) -> None:
    done = trial.checkpoint.restore(counter=counter)
    for epoch in range(done + 1, trial.epochs + 1):
        counter.total.fill_(epoch)
        trial.report(epoch, val_loss=1.0)
        counter.total.fill_(-1.0)
        if gate is not None:
            gate.set()
            gate = None


def test_checkpoint_holds_the_state_of_its_report_though_training_went_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_on = threading.Event()
    fsync = os.fsync

    def fsync_late(descriptor: int) -> None:
        assert went_on.wait(10)
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", fsync_late)
    trained = train(lambda trial: count(trial, counter=Counter(), gate=went_on), tmp_path, epochs=1)
    assert trained.finished.outcome is Outcome.COMPLETE
    assert set(read_checkpoint(tmp_path / "checkpoint.pt")["objects"]["counter"]["total"].tolist()) == {1.0}


def test_report_is_sent_when_its_checkpoint_is_on_the_disk(tmp_path: Path) -> None:
    epochs_on_disk: list[tuple[int, int]] = []

    class Looking(Recorder):
        def send(self, event: Event) -> None:
            if isinstance(event, EpochReport):
                saved = read_checkpoint(tmp_path / "checkpoint.pt")["own"]["meter"]["epochs_done"]
                epochs_on_disk.append((event.epoch, saved))
            super().send(event)

    train(Points(), tmp_path, {"batch_size": 8}, channel=Looking(), epochs=4)
    assert epochs_on_disk == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_training_goes_on_without_a_checkpoint_that_the_disk_does_not_take_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, calls = os.fsync, iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) in {2, 3}:  # the files of epochs 2 and 3; without a fault one and its folder
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", full)
    trained = train(Points(), tmp_path, {"batch_size": 8}, epochs=4)
    told = [event.epoch if isinstance(event, EpochReport) else event.problem for event in told_of(trained.channel)]
    problem = f"no space left on device, {tmp_path / 'checkpoint.pt'}"
    assert told == [1, problem, 2, 3, None, 4]
    assert trained.finished.outcome is Outcome.COMPLETE
    assert not (tmp_path / "checkpoint.tmp").exists()
    assert len(read_checkpoint(tmp_path / "checkpoint.pt")["own"]["reports"]["reports"]) == 4


def told_of(channel: Recorder) -> list[EpochReport | Unsaved]:
    return [event for event in channel.events if isinstance(event, EpochReport | Unsaved)]


def test_state_that_could_not_be_read_back_ends_the_trial_at_its_report(tmp_path: Path) -> None:
    class Unreadable(Counter):
        def state_dict(self) -> dict[str, Any]:
            return {"total": [0, np.float64(1.0)]}

    trained = train(lambda trial: count(trial, counter=Unreadable()), tmp_path)
    assert str(trained.finished.reason).startswith("TaskError: checkpoint: counter.total.1: a state holds tensors")
    assert trained.reports == []
    assert not (tmp_path / "checkpoint.pt").exists()


def test_process_that_another_one_took_the_trial_from_saves_no_more(tmp_path: Path) -> None:
    """It was stopped while its coordinator lost the study: the checkpoint is the other's now."""
    first, second = (Saver(tmp_path / "checkpoint.pt", tell=print) for _ in range(2))
    first.begin()
    assert first.save(content(value=1), num_bytes=0)
    second.begin()
    with pytest.raises(FencedError, match="another process trains this trial now"):
        first.save(content(value=2), num_bytes=0)
    assert read_checkpoint(tmp_path / "checkpoint.pt")["objects"] == {"value": 1}
    assert second.save(content(value=3), num_bytes=0)
    assert read_checkpoint(tmp_path / "checkpoint.pt")["objects"] == {"value": 3}
