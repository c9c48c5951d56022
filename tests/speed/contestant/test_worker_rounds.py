"""Blocks of contestants whose data comes from workers."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from autotune.events import RunBlock
from autotune.speed.contestant.worker_rounds import Moment, WorkerRounds
from autotune.training import Trial
from autotune.training.parameters import Parameters
from tests.speed.contestant.test_training import race, steps
from tests.training.tasks import Points

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # on a machine with fewer cores
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
FETCH_SECONDS = 0.03


class Distant(Dataset[tuple[Tensor, Tensor]]):
    """Samples that are waited for, as those of a disk far away."""

    def __len__(self) -> int:
        return 1024

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.full((4,), float(index)), torch.tensor(index % 2)

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        time.sleep(FETCH_SECONDS)
        return [self[index] for index in indices]


class FarPoints(Points):
    """Trains with them."""

    @override
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Distant()


class Wrapper:
    """A loader as tqdm has one."""

    def __init__(self, iterable: Iterable[Any]) -> None:
        self.iterable = iterable

    def __iter__(self) -> Iterator[Any]:
        yield from self.iterable


def zipped(loader: DataLoader[Any]) -> Iterator[Any]:
    """Beside another loader of fewer workers."""
    return zip(loader, DataLoader(Distant(), batch_size=8, num_workers=1), strict=True)


def block(*, seconds: float, min_steps: int = 1) -> RunBlock:
    return RunBlock(seconds=seconds, min_steps=min_steps, feed="real")


def test_block_ends_with_a_whole_round_of_its_workers(tmp_path: Path) -> None:
    script, _ = race(FarPoints(), tmp_path, *[block(seconds=0.25)] * 3, num_workers=3)
    assert [each.steps % 3 for each in script.blocks] == [0, 0, 0]


@pytest.mark.parametrize(
    "wrap",
    [Wrapper, enumerate, lambda loader: itertools.islice(loader, 120), itertools.chain, zipped],
    ids=["class", "enumerate", "islice", "chain", "zip"],
)
def test_loader_inside_of_something_else_has_its_rounds_too(
    tmp_path: Path, wrap: Callable[[DataLoader[Any]], Iterable[Any]]
) -> None:
    """Blocks ended in the middle of a round: some showed a loop that never waits, others one that only waits."""

    def train(trial: Trial) -> None:
        loader = DataLoader(Distant(), batch_size=8, num_workers=3)
        for _ in range(trial.epochs):
            for _ in trial.watch(wrap(loader)):
                pass

    script, _ = race(train, tmp_path, *[block(seconds=0.2)] * 3)
    assert [each.steps % 3 for each in script.blocks] == [0, 0, 0]
    first, second, _ = script.blocks
    assert second.first_step - first.first_step - first.steps in {3, 4}, "a round before it, of all workers"


def test_round_comes_before_each_block_of_workers_that_wait(tmp_path: Path) -> None:
    """What they wait for came while they were stopped, and is no part of what is timed."""
    script, _ = race(FarPoints(), tmp_path, *[block(seconds=0.25)] * 3, num_workers=3)
    first, second, third = script.blocks
    assert second.first_step == first.first_step + first.steps + 3
    assert third.first_step == second.first_step + second.steps + 3


def test_one_round_comes_before_a_block_whose_queue_was_drained(tmp_path: Path) -> None:
    """It was a step more, which of long steps is seconds."""
    script, _ = race(FarPoints(), tmp_path, block(seconds=0.25), num_workers=3)
    assert script.blocks[0].first_step == 3


def test_block_without_workers_follows_at_once_on_the_one_before(tmp_path: Path) -> None:
    script, _ = race(FarPoints(), tmp_path, *[block(seconds=0.01)] * 2)
    first, second = script.blocks
    assert second.first_step == first.first_step + first.steps


def test_steps_whose_losses_are_judged_are_those_that_were_asked_for(tmp_path: Path) -> None:
    script, _ = race(FarPoints(), tmp_path, steps(5), num_workers=2)
    assert [(each.first_step, each.steps) for each in script.blocks] == [(1, 5)], "no round before them"


def test_block_that_would_take_far_too_long_ends_before_its_round(tmp_path: Path) -> None:
    script, _ = race(FarPoints(), tmp_path, *[block(seconds=FETCH_SECONDS / 50)] * 2, num_workers=8)
    assert all(each.steps < 8 for each in script.blocks)


@pytest.mark.parametrize(
    ("cpu_seconds", "wait_seconds", "num_steps"),
    [(0.05, 0.5, 2), (1.9, 0.5, 0), (0.05, 0.01, 0), (None, 0.5, 2)],
    ids=["they wait", "they compute", "nobody waits for them", "nobody knows"],
)
def test_round_is_left_out_where_a_pause_makes_nothing_ready(
    monkeypatch: pytest.MonkeyPatch, cpu_seconds: float | None, wait_seconds: float, num_steps: int
) -> None:
    moments = iter([Moment(10.0, 2, 5.0), Moment(11.0, 2, None if cpu_seconds is None else 5.0 + cpu_seconds)])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    rounds = WorkerRounds(lambda: next(moments))
    assert rounds.steps_before(2) == 2
    rounds.begin()
    rounds.end(seconds=1.0, wait_seconds=wait_seconds)
    assert rounds.steps_before(2) == num_steps


def test_round_is_left_out_on_a_system_that_tells_no_affinity_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each contestant with workers crashed at the end of its first block."""
    moments = iter([Moment(10.0, 2, 5.0), Moment(11.0, 2, 6.9)])
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    rounds = WorkerRounds(lambda: next(moments))
    rounds.begin()
    rounds.end(seconds=1.0, wait_seconds=0.5)
    assert rounds.steps_before(2) == 0
