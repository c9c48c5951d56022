"""Which samples make up which batch: by seed and epoch alone, from any batch of the epoch on."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from autotune.training.rng import derive_seed


class EpochOrder:
    """The batch sampler: each batch is a list of indices, with a seed of its own where there are workers."""

    def __init__(
        self, num_samples: int, *, batch_size: int, drop_last: bool, has_workers: bool, seed: int, shuffle: bool
    ) -> None:
        self._num_samples = num_samples
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._has_workers = has_workers
        self._seed = seed
        self._shuffle = shuffle
        self._epoch = 1
        self._first_batch = 0

    def aim(self, epoch: int, first_batch: int) -> None:
        """Start the next iteration at this batch of this epoch."""
        self._epoch = epoch
        self._first_batch = first_batch

    @property
    def is_at_start(self) -> bool:
        """Whether the next iteration starts at the first batch of the first epoch."""
        return self._epoch == 1 and self._first_batch == 0

    def __len__(self) -> int:
        whole, rest = divmod(self._num_samples, self._batch_size)
        return whole + (1 if rest and not self._drop_last else 0)

    def __iter__(self) -> Iterator[Any]:
        order: list[int] = self._samples().tolist()
        purpose = "train" if self._shuffle else "validation"
        for number in range(self._first_batch, len(self)):
            indices = order[number * self._batch_size : (number + 1) * self._batch_size]
            yield (derive_seed(self._seed, purpose, self._epoch, number), indices) if self._has_workers else indices

    def tensors(self, device: torch.device) -> Iterator[Tensor]:
        """The batches as tensors of indices, which are brought to the device once an epoch."""
        order = self._samples().to(device)
        for number in range(self._first_batch, len(self)):
            yield order[number * self._batch_size : (number + 1) * self._batch_size]

    def _samples(self) -> Tensor:
        """The indices of all samples in the epoch's order, int64, on the CPU."""
        if not self._shuffle:
            return torch.arange(self._num_samples)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "order", self._epoch))
        return torch.randperm(self._num_samples, generator=generator)
