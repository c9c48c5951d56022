from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from autotune.events import Outcome, Scalar
from autotune.training import InfeasibleError
from autotune.training.batches import Batch, list_tensors
from autotune.training.data.cache import is_same
from autotune.training.data.loader import BatchLoader, LoaderOptions
from autotune.training.parameters import Parameters
from autotune.training.reporting.meter import Meter
from tests.training.data.test_loader import new_meter
from tests.training.tasks import NUM_TRAIN, NoisyPoints, Points, points
from tests.training.trials import Recorder, is_same_weights, train

BASE: dict[str, Scalar] = {"batch_size": 8, "lr": 0.05}
CACHED: dict[str, Scalar] = BASE | {"cache": "memory"}


class Labelled(NamedTuple):
    picture: Tensor
    label: int


class Samples(Dataset[Any]):
    """Samples of one kind, and how often one was fetched."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.num_fetched = 0

    def __len__(self) -> int:
        return 70

    def __getitem__(self, index: int) -> Any:
        self.num_fetched += 1
        picture = torch.full((2, 3), float(index))
        samples = {
            "tuple": (picture, index),
            "named": Labelled(picture, index),
            "dict": {"picture": picture, "facts": [index / 3, index % 2 == 0]},
            "numpy": (picture.numpy(), np.float32(index), np.int64(index)),
            "tensor": picture,
            "text": (picture, f"sample {index}"),
        }
        return samples[self.kind]


class Ragged(Samples):
    def __getitem__(self, index: int) -> Any:
        return torch.arange(index + 1)


def new_loader(dataset: Dataset[Any], *, cache: str, is_train: bool = True, **more: Any) -> tuple[BatchLoader, Meter]:
    meter = new_meter()
    options = LoaderOptions(batch_size=8, cache=cache)
    return BatchLoader(dataset, options=options, seed=5, is_train=is_train, meter=meter, **more), meter


def epochs_of(dataset: Dataset[Any], *, cache: str, **more: Any) -> list[Batch]:
    loader, meter = new_loader(dataset, cache=cache, **more)
    batches = []
    for epoch in (1, 2):
        batches += list(loader)
        meter.close_epoch(epoch)
    return batches


@pytest.mark.parametrize("kind", ["tuple", "named", "dict", "numpy", "tensor", "text"])
@pytest.mark.parametrize("is_train", [True, False])
def test_cached_batches_are_those_of_a_loader_to_the_last_bit(kind: str, *, is_train: bool) -> None:
    plain = epochs_of(Samples(kind), cache="off", is_train=is_train)
    cached = epochs_of(Samples(kind), cache="memory", is_train=is_train)
    assert len(plain) == 18
    assert [type(batch) for batch in cached] == [type(batch) for batch in plain]
    assert all(map(is_same, cached, plain))
    assert [t.dtype for t in list_tensors(cached)] == [t.dtype for t in list_tensors(plain)]


@pytest.mark.parametrize("dataset", [TensorDataset(*points(70, seed=0)), Subset(Samples("tuple"), range(3, 60))])
def test_torchs_own_datasets_are_cached_to_the_last_bit(dataset: Dataset[Any]) -> None:
    assert all(map(is_same, epochs_of(dataset, cache="memory"), epochs_of(dataset, cache="off")))


def test_every_sample_is_fetched_once_beside_the_looks_and_never_in_a_later_epoch() -> None:
    dataset = Samples("tuple")
    loader, meter = new_loader(dataset, cache="memory")
    assert dataset.num_fetched == 0
    list(loader)
    num_fetched = dataset.num_fetched
    assert num_fetched == len(dataset) + 2 * 32
    meter.close_epoch(1)
    list(loader)
    assert dataset.num_fetched == num_fetched


def test_a_collate_function_of_ones_own_is_called_for_each_batch() -> None:
    calls = []

    def collate(samples: list[Any]) -> Tensor:
        calls.append(len(samples))
        return torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)

    cached = epochs_of(Ragged("tensor"), cache="memory", collate=collate)
    assert calls == [8, 8, 8, 8, 8, 8, 8, 8, 6] * 2
    assert all(map(is_same, cached, epochs_of(Ragged("tensor"), cache="off", collate=collate)))


def test_looking_at_samples_draws_nothing_from_the_global_generators() -> None:
    before = torch.get_rng_state()
    epochs_of(Samples("tuple"), cache="memory")
    assert torch.equal(torch.get_rng_state(), before)


def test_augmentation_is_not_frozen_but_refused(tmp_path: Path) -> None:
    finished = train(NoisyPoints(), tmp_path, CACHED).finished
    assert finished.outcome is Outcome.INFEASIBLE
    assert finished.reason is not None
    assert "cache: a sample must be the same each time it is fetched, got two different ones" in finished.reason
    assert finished.reason.endswith("use cache=off")


class OwnGenerator(Samples):
    generator = np.random.default_rng(0)

    def __getitem__(self, index: int) -> Any:
        return torch.tensor(self.generator.random() < 0.2)


def test_draws_from_a_generator_of_the_datasets_own_are_seen() -> None:
    loader, _ = new_loader(OwnGenerator("tensor"), cache="memory")
    with pytest.raises(InfeasibleError, match="would freeze its random augmentation"):
        list(loader)


class Vast(Samples):
    def __len__(self) -> int:
        return 2**40

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(2**10)


def test_a_dataset_that_does_not_fit_is_refused_before_it_is_fetched() -> None:
    loader, _ = new_loader(Vast("tensor"), cache="memory", is_train=False)
    with pytest.raises(InfeasibleError, match=r"into a quarter of the memory that this host has free, got 4,294,967"):
        next(iter(loader))


class Looked(Vast):
    """Is looked at, and no more."""

    def __getitem__(self, index: int) -> Any:
        assert self.num_fetched < 100, "fetched as a whole"
        self.num_fetched += 1
        return super().__getitem__(index)


def test_samples_for_a_large_device_are_refused_where_the_host_can_not_put_them_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are collated on the host, and took all of its memory."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**60, 2**60))
    loader, _ = new_loader(Looked("tensor"), cache="device", is_train=False, device=torch.device("cuda"))
    with pytest.raises(InfeasibleError, match=r"cache=device: .* a quarter of the memory that this host has free"):
        next(iter(loader))


def test_a_cache_needs_no_workers(tmp_path: Path) -> None:
    started = train(Points(), tmp_path, CACHED | {"num_workers": 2}, epochs=1).started
    assert started.in_force.items() >= {"cache": "memory", "num_workers": 0}.items()


def test_on_a_cpu_the_device_is_the_memory(tmp_path: Path) -> None:
    assert train(Points(), tmp_path, BASE | {"cache": "device"}, epochs=1).started.in_force["cache"] == "memory"


def test_training_with_a_cache_is_training_without(tmp_path: Path) -> None:
    plain, cached = (train(Points(), tmp_path / str(p["cache"]), p) for p in (BASE | {"cache": "off"}, CACHED))
    assert cached.metrics == plain.metrics
    assert is_same_weights(cached, plain)


@pytest.mark.parametrize("stop_after", [3, 9, 14])
def test_training_with_a_cache_goes_on_inside_an_epoch_as_if_it_had_not_stopped(
    tmp_path: Path, stop_after: int
) -> None:
    whole = train(Points(), tmp_path / "whole", CACHED)
    stopped = train(Points(), tmp_path / "parts", CACHED, channel=Recorder(stop_after=stop_after))
    assert stopped.finished.outcome is Outcome.INTERRUPTED
    resumed = train(Points(), tmp_path / "parts", CACHED)
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)
    assert {report.samples for report in resumed.reports} == {NUM_TRAIN}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), True),
        (torch.tensor([1.0]), torch.tensor([2.0]), False),
        (torch.tensor([1.0]), torch.tensor([1]), False),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.array(["a"]), np.array(["b"]), False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1, 2], [1], False),
        (float("nan"), float("nan"), True),
        ("a", "a", True),
    ],
)
def test_samples_are_compared_to_the_last_bit(one: object, other: object, *, expected: bool) -> None:
    assert is_same(one, other) is expected


def test_number_of_workers_counts_as_read_beside_a_cache_that_needs_none() -> None:
    """A race took it for a knob that the task never reads, and tried no workers any more."""
    params = Parameters({**CACHED, "num_workers": 2})
    assert LoaderOptions.of(params, device=torch.device("cpu")).num_workers == 0
    assert params.unread == ("lr",)
