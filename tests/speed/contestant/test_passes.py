import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from autotune.errors import TaskError
from autotune.speed.contestant.passes import Passes
from autotune.speed.contestant.worker_queues import WorkerQueues
from autotune.training.batches import Batch
from autotune.training.reporting.phases import Phases
from autotune.training.steps.pacing import Restartable, Source

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # on a machine with fewer cores
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
CPU = torch.device("cpu")


def batches(*values: int, size: int = 4) -> list[Tensor]:
    return [torch.full((size,), value) for value in values]


def enter(
    source: Iterable[Batch],
    *,
    num_batches: int | None = None,
    wound: list[int] | None = None,
    queues: WorkerQueues | None = None,
) -> Passes:
    passes = Passes(CPU, phases=Phases(CPU), queues=queues or WorkerQueues())
    wind = None if wound is None else lambda epoch, _batch: wound.append(epoch)
    passes.enter(Source(source, num_batches=num_batches, change=None, wind=wind))
    return passes


def drawn(passes: Passes, number: int) -> list[int | None]:
    return [None if batch is None else int(batch[0]) for batch in (passes.draw() for _ in range(number))]


def test_source_begins_again_at_its_end() -> None:
    wound: list[int] = []
    passes = enter(batches(1, 2), wound=wound)
    assert drawn(passes, 5) == [1, 2, 1, 2, 1]
    assert wound == [1, 2, 3]
    assert len(passes.start_seconds) == 3


def test_source_that_is_used_up_ends_and_the_next_one_goes_on() -> None:
    passes = enter(iter(batches(1, 2)))
    assert drawn(passes, 3) == [1, 2, None]
    passes.enter(Source(iter(batches(3)), num_batches=None, change=None, wind=None))
    assert drawn(passes, 2) == [3, None]


def test_smaller_last_batch_is_left_out() -> None:
    passes = enter([*batches(1, 2), *batches(3, size=2)], num_batches=3)
    assert drawn(passes, 4) == [1, 2, 1, 2]


def test_batches_of_many_sizes_all_count_but_for_the_last() -> None:
    passes = enter([*batches(1), *batches(2, size=3), *batches(3)], num_batches=3)
    assert drawn(passes, 4) == [1, 2, 3, 1]


@pytest.mark.usefixtures("own_time")
def test_start_of_a_pass_is_not_in_the_block() -> None:
    phases = Phases(CPU)
    passes = Passes(CPU, phases=phases, queues=WorkerQueues())

    def begin() -> Iterator[Batch]:
        time.sleep(0.05)
        yield from batches(1, 2)

    passes.enter(Source(Restartable(begin), num_batches=2, change=None, wind=None))
    passes.draw()
    phases.start()
    for _ in range(5):
        passes.draw()
    phases.stop()
    assert len(passes.start_seconds) == 3
    assert min(passes.start_seconds) >= 0.05
    assert phases.seconds < 0.05


@pytest.mark.usefixtures("own_time")
def test_fetching_is_timed_as_the_host_sees_it_without_the_start_of_a_pass() -> None:
    def begin() -> Iterator[Batch]:
        time.sleep(0.5)
        for batch in batches(1, 2, 3):
            yield batch
            time.sleep(0.02)

    passes = enter(Restartable(begin), num_batches=3)
    passes.draw()
    assert passes.fetch_seconds == 0.0
    drawn(passes, 2)
    assert 0.04 <= passes.fetch_seconds < 0.5


def test_restart_leaves_the_first_batch_of_the_first_pass_out() -> None:
    wound: list[int] = []
    passes = enter(batches(1, 2, 3), wound=wound)
    drawn(passes, 5)
    passes.restart(step_seconds=0.0)
    assert drawn(passes, 2) == [2, 3]
    assert wound == [1, 2, 1]


def loader_of(*values: int, num_workers: int, prefetch_factor: int | None = None) -> DataLoader[Any]:
    dataset = TensorDataset(torch.tensor(values))
    return DataLoader(dataset, batch_size=1, num_workers=num_workers, prefetch_factor=prefetch_factor)


def generated(loader: DataLoader[Any]) -> Iterator[Any]:
    yield from loader


WRAPS = {
    "nothing": lambda loader: loader,
    "begun": iter,
    "enumerate": enumerate,
    "islice": lambda loader: itertools.islice(loader, 6),
    "chain": lambda loader: itertools.chain(loader_of(-1, num_workers=1), loader),
    "generator": generated,
}


def value(batch: Batch) -> int:
    """The value of a batch, which enumerate gives a number."""
    *_, tensors = batch if isinstance(batch, tuple) else (batch,)
    return int(tensors[0])


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS.keys())
@pytest.mark.parametrize(("num_workers", "next_value"), [(0, 1), (1, 3), (2, 5)])
def test_drain_leaves_out_what_a_queue_holds_whatever_the_loader_is_in(
    wrap: Callable[[DataLoader[Any]], Iterable[Any]], *, num_workers: int, next_value: int
) -> None:
    queues = WorkerQueues()
    with queues.counted():
        passes = enter(wrap(loader_of(*range(9), num_workers=num_workers)), queues=queues)
        while value(passes.draw()) < 0:  # of the loader before it
            pass
        passes.drain()
        assert value(passes.draw()) == next_value


def test_drain_takes_no_more_than_a_pass() -> None:
    queues = WorkerQueues()
    with queues.counted():
        passes = enter(loader_of(*range(4), num_workers=2, prefetch_factor=25), num_batches=4, queues=queues)
        passes.draw()
        passes.drain()
        assert value(passes.draw()) == 1


def test_loader_whose_pass_has_ended_feeds_nobody() -> None:
    """A validation between two passes, whose workers may stay."""
    queues = WorkerQueues()
    with queues.counted():
        loader = DataLoader(TensorDataset(torch.zeros(4)), num_workers=2, persistent_workers=True)
        iterator = iter(loader)
        next(iterator)
        assert (queues.num_workers, queues.num_prefetched) == (2, 4)
        assert list(iterator)
        assert (queues.num_workers, queues.num_prefetched) == (0, 0)


def test_pass_without_a_batch_is_an_error() -> None:
    with pytest.raises(TaskError, match="a race needs batches, got none in a whole pass"):
        enter([]).draw()
