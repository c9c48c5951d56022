"""What can be done with a batch of any shape: count it, move it, cut it."""

from collections.abc import Callable, Iterator, Mapping, Sized
from typing import Any, TypeAlias

import torch
from torch import Tensor

Batch: TypeAlias = Any
"""What a DataLoader yields: usually ``(inputs, targets)``; any nesting of tuples, lists, dicts and tensors."""


def count_samples(batch: Batch) -> int:
    """Length of the first tensor in the batch; of the batch itself where it holds none."""
    tensor = _first_tensor(batch)
    if tensor is not None:
        return tensor.shape[0]
    return len(batch) if isinstance(batch, Sized) else 1


def mover(device: torch.device, *, channels_last: bool) -> Callable[[Batch], Batch] | None:
    """A function that brings a batch to the device; None where a batch is there already.

    With ``channels_last``, tensors of four dimensions (N, C, H, W) get that memory format.
    Copies from pinned memory do not wait.
    """
    if device.type == "cpu" and not channels_last:
        return None

    def move(tensor: Tensor) -> Tensor:
        if channels_last and tensor.dim() == 4:  # noqa: PLR2004 - N, C, H, W
            return tensor.to(device, non_blocking=True, memory_format=torch.channels_last)
        return tensor.to(device, non_blocking=True)

    return lambda batch: _change(batch, move)


def micro_batches(batch: Batch, *, size: int) -> Iterator[tuple[Batch, float]]:
    """Slices of at most ``size`` samples, each with its share of the batch; shares add up to 1."""
    total = count_samples(batch)
    if total <= size:
        yield batch, 1.0
        return
    for start in range(0, total, size):
        length = min(size, total - start)
        yield _slice(batch, start, start + length, total), length / total


def describe(batch: Batch) -> str:
    """The batch's tensors in words, such as ``(8, 1, 28, 28) float32, (8) int64``."""
    words = [f"({', '.join(map(str, t.shape))}) {str(t.dtype).removeprefix('torch.')}" for t in _tensors(batch)]
    return ", ".join(words) or type(batch).__name__


def _first_tensor(batch: Batch) -> Tensor | None:
    return next((tensor for tensor in _tensors(batch) if tensor.dim()), None)


def _tensors(batch: Batch) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, tuple | list):
        for value in batch:
            yield from _tensors(value)


def _change(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: _change(value, change) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return _like(batch, [_change(value, change) for value in batch])
    return batch


def _slice(batch: Batch, start: int, end: int, total: int) -> Batch:
    if isinstance(batch, Tensor):
        return batch[start:end] if batch.dim() and batch.shape[0] == total else batch
    if isinstance(batch, Mapping):
        return {name: _slice(value, start, end, total) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        if len(batch) == total and next(_tensors(batch), None) is None:  # one label text a sample
            return batch[start:end]
        return _like(batch, [_slice(value, start, end, total) for value in batch])
    return batch


def _like(batch: tuple[Any, ...] | list[Any], values: list[Any]) -> Batch:
    if hasattr(batch, "_fields"):  # a named tuple takes its values one by one
        return type(batch)(*values)
    return type(batch)(values)
