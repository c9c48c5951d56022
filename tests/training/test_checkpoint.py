from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autotune.errors import TaskError
from autotune.training.checkpoint import CheckpointFile, read_checkpoint, write_checkpoint
from autotune.training.rng import capture_rng, restore_rng, seed_everything, undisturbed_rng
from autotune.training.trial import Trial
from tests.training.trials import train

CPU = torch.device("cpu")


def content(**objects: Any) -> CheckpointFile:
    return {"format": 1, "objects": objects, "own": {}, "rng": capture_rng(CPU)}


def test_checkpoint_comes_back_without_running_code(tmp_path: Path) -> None:
    model = nn.BatchNorm1d(3)
    write_checkpoint(tmp_path / "checkpoint.pt", content(model=model.state_dict(), sums={"lr": [0.1, None, "a"]}))
    objects = read_checkpoint(tmp_path / "checkpoint.pt")["objects"]
    assert torch.equal(objects["model"]["weight"], model.weight)
    assert objects["sums"] == {"lr": [0.1, None, "a"]}


@pytest.mark.parametrize(
    "value", [np.float64(1.0), np.zeros(2), {1, 2}, object(), lambda: 0], ids=lambda value: type(value).__name__
)
def test_state_that_could_not_be_read_back_is_refused_when_it_is_written(tmp_path: Path, value: Any) -> None:
    with pytest.raises(TaskError, match=r"checkpoint: sums\.total\.1: a state holds tensors"):
        write_checkpoint(tmp_path / "checkpoint.pt", content(sums={"total": [0, value]}))
    assert list(tmp_path.iterdir()) == []


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
