import os
import threading
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from autotune.training.checkpoints.background import Background, forkable
from autotune.training.data.loader import BatchLoader, LoaderOptions
from autotune.training.reporting.meter import Meter


class AsSeenByTheWorker(Dataset[int]):
    """How much of the work was done when the worker was forked."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        del index
        return len(self.done)

    def work(self) -> None:
        threading.Event().wait(0.5)  # much longer than a fork that does not wait
        self.done.append("written")


def ignore(*args: object) -> None:
    del args


def ours(dataset: Dataset[Any], *, is_train: bool) -> BatchLoader:
    meter = Meter(device=torch.device("cpu"), on_first_batch=ignore, on_progress=ignore)
    options = LoaderOptions(batch_size=2, num_workers=1)
    return BatchLoader(dataset, options=options, seed=5, is_train=is_train, meter=meter)


def own(dataset: Dataset[Any]) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=2, num_workers=1, multiprocessing_context="fork")


@pytest.mark.parametrize(
    "make_loader",
    [lambda data: ours(data, is_train=True), lambda data: ours(data, is_train=False), own],
    ids=["training", "validation", "a user's own"],
)
def test_workers_are_forked_when_the_work_is_over(make_loader: Any) -> None:
    """A worker forked in the middle has the writing thread's locks, without the thread that would give them back."""
    dataset, background = AsSeenByTheWorker(), Background()
    loader = make_loader(dataset)
    background.run(dataset.work, name="work")
    (batch,) = loader
    assert batch.tolist() == [1, 1]


class FileOfTheWorker(Dataset[bool]):
    """Whether the worker has the file open that its parent has."""

    def __init__(self, file: BinaryIO) -> None:
        self._descriptor = file.fileno()
        self._identity = os.fstat(self._descriptor).st_ino

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> bool:
        del index
        return os.fstat(self._descriptor).st_ino == self._identity


def test_fork_does_not_wait_for_the_disk_and_leaves_the_file_to_its_writer(tmp_path: Path) -> None:
    """A worker that had the file open would keep its space on the disk when the next checkpoint takes its place."""
    is_waiting, is_there, background = threading.Event(), threading.Event(), Background()
    with (tmp_path / "checkpoint.tmp").open("xb") as file:

        def work() -> None:
            with forkable(file.fileno()):
                is_waiting.set()
                assert is_there.wait(30)

        background.run(work, name="work")
        assert is_waiting.wait(30)
        (batch,) = own(FileOfTheWorker(file))
        is_there.set()
        background.wait()
        (later,) = own(FileOfTheWorker(file))
    assert [batch.tolist(), later.tolist()] == [[False, False], [True, True]]


def test_fork_waits_for_what_comes_after_the_disk(tmp_path: Path) -> None:
    dataset, background, is_over = AsSeenByTheWorker(), Background(), threading.Event()
    with (tmp_path / "checkpoint.tmp").open("xb") as file:

        def work() -> None:
            with forkable(file.fileno()):
                pass
            is_over.set()
            dataset.work()

        background.run(work, name="work")
        assert is_over.wait(30)
        (batch,) = own(dataset)
        background.wait()
    assert batch.tolist() == [1, 1]


def test_error_of_the_work_outlives_a_fork() -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    background = Background()
    background.run(fail, name="work")
    list(own(AsSeenByTheWorker()))
    with pytest.raises(OSError, match="the disk is full"):
        background.wait()


def test_work_that_forks_does_not_wait_for_itself() -> None:
    seen: list[list[int]] = []

    def fork() -> None:
        seen.extend(batch.tolist() for batch in own(AsSeenByTheWorker()))

    background = Background()
    background.run(fork, name="work")
    background.wait()
    assert seen == [[0, 0]]
