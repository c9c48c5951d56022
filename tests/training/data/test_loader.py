from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, TensorDataset

from autotune.errors import TaskError
from autotune.events import Progress, Scalar
from autotune.training.data.loader import BatchLoader, LoaderOptions
from autotune.training.reporting.meter import Meter
from tests.training.tasks import Noisy, points


def ignore(progress: Progress | None = None) -> None:
    del progress


def new_meter() -> Meter:
    return Meter(device=torch.device("cpu"), on_first_batch=ignore, on_progress=ignore)


def numbers(count: int) -> TensorDataset:
    return TensorDataset(torch.arange(count))


def new_loader(
    dataset: Any, *, num_workers: int = 0, persistent: bool = False, is_train: bool = True, meter: Meter | None = None
) -> BatchLoader:
    options = LoaderOptions(batch_size=4, num_workers=num_workers, persistent_workers=persistent)
    return BatchLoader(dataset, options=options, seed=5, is_train=is_train, meter=meter or new_meter())


def epochs_of(loader: BatchLoader, meter: Meter, *, num_epochs: int) -> list[list[Tensor]]:
    epochs = []
    for epoch in range(1, num_epochs + 1):
        epochs.append([batch[0] for batch in loader])
        meter.close_epoch(epoch)
    return epochs


def test_every_sample_comes_once_an_epoch_and_in_another_order_each_epoch() -> None:
    meter = new_meter()
    first, second = epochs_of(new_loader(numbers(10), meter=meter), meter, num_epochs=2)
    orders = [torch.cat(epoch).tolist() for epoch in (first, second)]
    assert [sorted(order) for order in orders] == [list(range(10))] * 2
    assert orders[0] != orders[1] != list(range(10))
    assert [len(batch) for batch in first] == [4, 4, 2]


@pytest.mark.parametrize(("num_workers", "persistent"), [(1, False), (2, False), (2, True)])
def test_workers_change_neither_order_nor_augmentation(num_workers: int, *, persistent: bool) -> None:
    reference_meter, meter = new_meter(), new_meter()
    dataset = Noisy(*points(10, seed=0))
    reference = epochs_of(new_loader(dataset, num_workers=1, meter=reference_meter), reference_meter, num_epochs=3)
    loader = new_loader(dataset, num_workers=num_workers, persistent=persistent, meter=meter)
    for expected, epoch in zip(reference, epochs_of(loader, meter, num_epochs=3), strict=True):
        assert torch.equal(torch.cat(epoch), torch.cat(expected))


def test_augmentation_differs_from_epoch_to_epoch() -> None:
    meter = new_meter()
    dataset = Noisy(torch.zeros(4, 4), torch.zeros(4))
    first, second = epochs_of(new_loader(dataset, num_workers=1, meter=meter), meter, num_epochs=2)
    assert not torch.equal(torch.cat(first).sort().values, torch.cat(second).sort().values)


def test_loading_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    list(new_loader(numbers(10)))
    list(new_loader(numbers(10), num_workers=1, is_train=False))
    assert torch.equal(torch.get_rng_state(), before)


def test_validation_data_keeps_its_order_and_counts_for_no_throughput() -> None:
    meter = new_meter()
    batches = [batch[0] for batch in new_loader(numbers(10), is_train=False, meter=meter)]
    assert torch.cat(batches).tolist() == list(range(10))
    assert meter.steps == 0


def test_loader_resumes_at_the_batch_after_the_last_one_counted() -> None:
    whole = [batch[0].tolist() for batch in new_loader(numbers(10))]
    meter = new_meter()
    resumed = new_meter()
    for _ in new_loader(numbers(10), meter=meter):
        resumed.load_state_dict(meter.state_dict())
        break
    assert [batch[0].tolist() for batch in new_loader(numbers(10), meter=resumed)] == whole[1:]


def test_loader_tells_its_knobs_as_torch_has_them() -> None:
    alone: dict[str, Scalar] = {"cache": "off", "device_prefetch": False, "num_workers": 0, "pin_memory": False}
    assert new_loader(numbers(4)).in_force == alone
    assert new_loader(numbers(4), num_workers=1, persistent=True).in_force == alone | {
        "num_workers": 1,
        "prefetch_factor": 2,
        "persistent_workers": True,
        "in_order": True,
        "worker_start_method": "fork",
    }


def test_batches_that_come_as_they_are_ready_are_all_there_and_have_no_place_to_go_on_from() -> None:
    meter = new_meter()
    options = LoaderOptions(batch_size=4, num_workers=2, in_order=False)
    loader = BatchLoader(numbers(10), options=options, seed=5, is_train=True, meter=meter)
    seen = []
    for batch in loader:
        seen += batch[0].tolist()
        assert not meter.can_resume_inside_epoch
    assert sorted(seen) == list(range(10))


def test_dataset_that_fetches_batches_is_asked_for_batches() -> None:
    class Batched(TensorDataset):
        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [(torch.tensor(-index),) for index in indices]

    values = torch.cat([batch[0] for batch in new_loader(Batched(torch.arange(6)), num_workers=1)])
    assert sorted(values.tolist()) == [-5, -4, -3, -2, -1, 0]


def test_more_workers_than_cores_is_no_warning() -> None:
    assert len(list(new_loader(numbers(4), num_workers=5, is_train=False))) == 1


def test_stream_is_told_to_use_watch() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    with pytest.raises(TaskError, match=r"Stream: a dataset needs __len__.*trial\.watch"):
        new_loader(Stream())
