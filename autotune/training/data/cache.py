"""Small datasets held whole: every sample is fetched once, and batches are gathered by index."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset, default_collate

from autotune.training.batches import Batch, change_tensors, is_all_tensors, list_tensors
from autotune.training.data.sample_order import EpochOrder
from autotune.training.failures import InfeasibleError
from autotune.training.machine.device import available_memory_bytes
from autotune.training.rng import seed_loading, undisturbed_rng

Place: TypeAlias = Literal["memory", "device"]

_HOST = torch.device("cpu")
_NUM_LOOKS = 32
_LARGEST_SHARE = 0.25
"""The largest share of the free memory that a cache may take; models, gradients and other trials need the rest."""
_FETCH = 1024
"""Samples that are collated at a time, so that their single tensors are freed early."""


class CachedLoader:
    """A loader with the batches that a DataLoader without workers gives, bit for bit.

    The first pass fills the cache, so that its cost is seen where the first batch is waited for.
    Samples that collate to tensors are held as whole tensors, on the device where ``place`` says so, and a
    batch is one gather from each of them. Other samples (those with a collate function of their own, texts,
    samples of many sizes) are held one by one, and collated batch by batch.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        *,
        order: EpochOrder,
        place: Place,
        device: torch.device,
        is_pinned: bool,
        collate: Callable[[list[Any]], Batch] | None,
    ) -> None:
        self._dataset = dataset
        self._order = order
        self._collate = collate
        self._place: Place = place if device.type == "cuda" else "memory"
        self._device = device if self._place == "device" else _HOST
        self.is_pinned = is_pinned and self._place == "memory"
        """Whether batches are in page-locked memory."""
        self._whole: Batch = None
        self._samples: list[Any] | None = None
        self._is_filled = False

    def __iter__(self) -> Iterator[Batch]:
        self.fill()
        if self._samples is not None:
            return self._collated(self._samples)
        return self._gathered()

    def fill(self) -> None:
        """Fetch all samples, as the first pass would; a second call does nothing. No random generator is disturbed."""
        if not self._is_filled:
            # A validation loader is first asked inside inference mode, whose tensors are of no use outside.
            with torch.inference_mode(mode=False):
                self._fill()
            self._is_filled = True

    @property
    def place(self) -> Place:
        """Where samples are held; always ``memory`` without a CUDA device."""
        return self._place

    def _gathered(self) -> Iterator[Batch]:
        """The epoch's batches, gathered from whole tensors."""
        for indices in self._order.tensors(self._device):
            yield change_tensors(self._whole, partial(self._gather, indices))

    def _gather(self, indices: Tensor, tensor: Tensor) -> Tensor:
        """The rows of these indices, in page-locked memory where batches are to be."""
        if not self.is_pinned:
            return tensor.index_select(0, indices)
        batch = torch.empty((len(indices), *tensor.shape[1:]), dtype=tensor.dtype, pin_memory=True)
        return torch.index_select(tensor, 0, indices, out=batch)

    def _collated(self, samples: list[Any]) -> Iterator[Batch]:
        """The epoch's batches, collated from single samples."""
        collate = self._collate or default_collate
        for indices in self._order:
            batch = collate([samples[index] for index in indices])
            yield change_tensors(batch, Tensor.pin_memory) if self.is_pinned else batch

    def _fill(self) -> None:
        """Fetch all samples, and hold them as whole tensors where they can be, else one by one."""
        if type(self._dataset) is TensorDataset and self._collate is None:
            tensors = list(self._dataset.tensors)
            if self._place == "device":
                self._check_fits(sum(tensor.nbytes for tensor in tensors), device=self._device)
            self._whole = change_tensors(tensors, lambda tensor: tensor.to(self._device))
            return
        with undisturbed_rng(_HOST):
            looks = _look_twice(self._dataset)
            num_bytes = _mean_bytes(looks) * len(self._dataset)  # type: ignore[arg-type]
            for device in (self._device, _HOST):  # on the way to the device they are put together on the host
                self._check_fits(num_bytes, device=device)
            if self._collate is None and is_all_tensors(default_collate(looks[:1])):
                self._whole = self._fetch_whole()
            if self._whole is None:
                self._fetch_samples()

    def _fetch_whole(self) -> Batch | None:
        """All samples as one batch on the device; None where they do not collate to tensors of one shape."""
        try:
            parts = [default_collate(samples) for samples in _fetch(self._dataset)]
            whole = _concatenate(parts)
        except (RuntimeError, TypeError, ValueError):  # what default_collate and torch.cat raise for odd samples
            return None
        return change_tensors(whole, lambda tensor: tensor.to(self._device))

    def _fetch_samples(self) -> None:
        """Hold all samples one by one; raises InfeasibleError where they were to be on the device."""
        if self._place == "device":
            raise InfeasibleError(
                "cache=device: samples must collate to tensors of one shape by torch's default_collate, got others; "
                "use cache=memory"
            )
        self._samples = [sample for samples in _fetch(self._dataset) for sample in samples]

    def _check_fits(self, num_bytes: float, *, device: torch.device) -> None:
        """Raise InfeasibleError where so many bytes are more than the largest share of the device's free memory."""
        available = available_memory_bytes(device)
        if num_bytes > available * _LARGEST_SHARE:
            where = "this host" if device == _HOST else "the device"
            raise InfeasibleError(
                f"cache={self._place}: the samples must fit into a quarter of the memory that {where} has free, "
                f"got {num_bytes / 2**20:,.0f} MiB of {available / 2**20:,.0f} MiB; use cache=off"
            )


def _fetch(dataset: Dataset[Any]) -> Iterator[list[Any]]:
    """All samples in order, some at a time."""
    num_samples = len(dataset)  # type: ignore[arg-type]
    for start in range(0, num_samples, _FETCH):
        yield _take(dataset, range(start, min(start + _FETCH, num_samples)))


def _take(dataset: Dataset[Any], indices: Sequence[int]) -> list[Any]:
    """The samples of these indices."""
    # As DataLoader does: whole batches where the dataset offers them.
    batched = getattr(dataset, "__getitems__", None)
    return list(batched(list(indices))) if callable(batched) else [dataset[index] for index in indices]


def _look_twice(dataset: Dataset[Any]) -> list[Any]:
    """Samples from all over the dataset; raises InfeasibleError where one is not the same when it is fetched again."""
    num_samples = len(dataset)  # type: ignore[arg-type]
    indices = sorted({index * num_samples // _NUM_LOOKS for index in range(_NUM_LOOKS)})
    seed_loading(1)
    first = _take(dataset, indices)
    seed_loading(2)
    for index, one, other in zip(indices, first, _take(dataset, indices), strict=True):
        if not is_same(one, other):
            raise InfeasibleError(
                "cache: a sample must be the same each time it is fetched, got two different ones for sample "
                f"{index}; a cache would freeze its random augmentation: use cache=off"
            )
    return first


def is_same(one: object, other: object) -> bool:
    """Whether two samples are equal to the last bit; NaN is equal to NaN."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.shape != other.shape or one.dtype != other.dtype:
            return False
        return bool(((one == other) | ((one != one) & (other != other))).all())  # noqa: PLR0124 - finds NaN
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        has_nan = one.dtype.kind in "fc"
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=has_nan)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - finds NaN


def _mean_bytes(samples: list[Any]) -> float:
    return sum(_bytes(sample) for sample in samples) / len(samples)


def _bytes(sample: object) -> int:
    """About the memory that a sample takes."""
    if isinstance(sample, Mapping):
        return sum(map(_bytes, sample.values()))
    if isinstance(sample, tuple | list):
        return sum(map(_bytes, sample))
    if isinstance(sample, Tensor | np.ndarray):
        return sample.nbytes
    size = getattr(sample, "size", None)  # a picture of Pillow's: width and height, mostly three channels
    return 3 * size[0] * size[1] if isinstance(size, tuple) and len(size) == 2 else sample.__sizeof__()  # noqa: PLR2004


def _concatenate(parts: list[Batch]) -> Batch:
    """The parts as one batch, tensor by tensor."""
    tensors = iter([torch.cat(same) for same in zip(*(list_tensors(part) for part in parts), strict=True)])
    return change_tensors(parts[0], lambda _: next(tensors))
