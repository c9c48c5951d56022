import time
from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from autotune.errors import TaskError
from autotune.speed.contestant.passes import Passes
from autotune.training.batches import Batch
from autotune.training.reporting.phases import Phases
from autotune.training.steps.pacing import Restartable, Source

CPU = torch.device("cpu")


def batches(*values: int, size: int = 4) -> list[Tensor]:
    return [torch.full((size,), value) for value in values]


def enter(source: Iterable[Batch], *, num_batches: int | None = None, wound: list[int] | None = None) -> Passes:
    passes = Passes(CPU, phases=Phases(CPU))
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


def test_start_of_a_pass_is_not_in_the_block() -> None:
    phases = Phases(CPU)
    passes = Passes(CPU, phases=phases)

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


@pytest.mark.parametrize(("num_prefetched", "next_value"), [(0, 2), (2, 4), (50, 2)])
def test_drain_leaves_out_what_a_queue_holds_and_no_more_than_a_pass(num_prefetched: int, next_value: int) -> None:
    source = Restartable(lambda: iter(batches(1, 2, 3, 4)), num_prefetched=num_prefetched)
    passes = enter(source, num_batches=4)
    passes.draw()
    passes.drain()
    assert drawn(passes, 1) == [next_value]


def test_queue_of_a_data_loader_is_what_its_workers_fetch_ahead() -> None:
    dataset = TensorDataset(torch.zeros(4))
    loader = DataLoader(dataset, num_workers=2, prefetch_factor=3)
    assert Source(loader, num_batches=None, change=None, wind=None).num_prefetched == 6
    assert Source(DataLoader(dataset), num_batches=None, change=None, wind=None).num_prefetched == 0


def test_pass_without_a_batch_is_an_error() -> None:
    with pytest.raises(TaskError, match="a race needs batches, got none in a whole pass"):
        enter([]).draw()
