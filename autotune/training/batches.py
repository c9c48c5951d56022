"""What can be done with a batch of any shape: count it, move it, cut it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

Batch: TypeAlias = Any
"""What a DataLoader yields: usually ``(inputs, targets)``; any nesting of tuples, lists, dicts and tensors."""

Count: TypeAlias = Callable[[Batch], int | Tensor]
"""How many values the mean loss of a batch, or of a part of one, is the mean of; a tensor stays on its device."""


def count_samples(batch: Batch) -> int:
    """The number of samples: the length of the batch's first tensor, or of the batch itself where it holds none.

    Samples must be the first dimension: in a batch (T, N, ...) the time steps would be counted.
    """
    # Three times a step: what nearly all batches are needs no walk through them.
    is_nest = isinstance(batch, tuple | list) and not isinstance(batch, PackedSequence)
    first = batch[0] if is_nest and batch else batch
    if isinstance(first, Tensor) and first.dim():
        return first.shape[0]
    if isinstance(first, PackedSequence):
        return int(first.batch_sizes[0])
    tensor = _first_tensor(batch)
    if tensor is not None:
        return tensor.shape[0]
    return len(batch) if isinstance(batch, Sized) else 1


def leading_sizes(batch: Batch) -> tuple[int, ...]:
    """The first two dimensions of the batch's first tensor, or as many as there are."""
    first = _first_tensor(batch)
    return () if first is None else tuple(first.shape[:2])


def add_times(total: Tensor, value: Tensor, count: int | Tensor) -> None:
    """Add a mean as often as it counts, in the total's precision, without waiting for the device."""
    if isinstance(count, Tensor):
        total.add_(value.to(total.dtype) * count)
    else:
        total.add_(value, alpha=count)


def mover(
    device: torch.device, *, channels_last: bool, channels_last_3d: bool = False
) -> Callable[[Batch], Batch] | None:
    """A function that brings a batch to the device; None where a batch is there already.

    With ``channels_last``, tensors of four dimensions (N, C, H, W) get that memory format, with
    ``channels_last_3d`` those of five (N, C, D, H, W). Copies from pinned memory do not wait. What is neither a
    tensor nor a tuple, list or dict of them, and has a ``to`` of its own, is moved by that.
    """
    formats: dict[int, torch.memory_format] = {}
    if channels_last:
        formats[4] = torch.channels_last
    if channels_last_3d:
        formats[5] = torch.channels_last_3d
    if device.type == "cpu" and not formats:
        return None

    def move(tensor: Tensor) -> Tensor:
        if tensor.dim() in formats:
            return tensor.to(device, non_blocking=True, memory_format=formats[tensor.dim()])
        return tensor.to(device, non_blocking=True)

    return lambda batch: change_tensors(batch, move, other=lambda value: value.to(device))


def micro_batches(batch: Batch, *, size: int) -> Iterator[Batch]:
    """Slices of at most ``size`` samples, as few as possible, whose sizes differ by one at most.

    No slice is a single sample, which BatchNorm can't train on, unless ``size`` is 1: an odd batch that is cut into
    slices of two has one of three.
    """
    total = count_samples(batch)
    number = -(-total // size)
    if size > 1:
        number = min(number, total // 2)
    if number <= 1:
        yield batch
        return
    ends = [total * part // number for part in range(number + 1)]
    for start, end in pairwise(ends):
        yield _slice(batch, start, end, total)


def can_be_cut(batch: Batch) -> bool:
    """Whether every tensor of the batch has one row for each sample; concatenated targets, for example, have more."""
    return _has_rows(batch, count_samples(batch))


def made_outside(batches: Iterable[Batch], *, device: torch.device) -> Iterator[Batch]:
    """The batches, each made as in training: outside of the autocast and the inference mode in which it is used.

    Without this, a dataset that computes would do so with fewer digits where no worker does it.
    """
    iterator = iter(batches)
    while True:
        with torch.inference_mode(mode=False), torch.autocast(device.type, enabled=False):
            try:
                batch = next(iterator)
            except StopIteration:
                return
        yield batch


def describe(batch: Batch) -> str:
    """The batch's tensors in words, such as ``(8, 1, 28, 28) float32, (8) int64``."""
    words = [f"({', '.join(map(str, t.shape))}) {str(t.dtype).removeprefix('torch.')}" for t in list_tensors(batch)]
    return ", ".join(words) or type(batch).__name__


def _first_tensor(batch: Batch) -> Tensor | None:
    return next((tensor for tensor in list_tensors(batch) if tensor.dim()), None)


def list_tensors(batch: Batch) -> Iterator[Tensor]:
    """The batch's tensors, depth first."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from list_tensors(value)
    elif isinstance(batch, tuple | list):
        for value in batch:
            yield from list_tensors(value)


def is_all_tensors(batch: Batch) -> bool:
    """Whether a batch holds tensors alone, however nested."""
    if isinstance(batch, Mapping):
        return all(is_all_tensors(value) for value in batch.values())
    if isinstance(batch, tuple | list):
        return all(is_all_tensors(value) for value in batch)
    return isinstance(batch, Tensor)


def nesting(batch: Batch) -> object:
    """How the batch's tensors are nested, as a value that can be compared and hashed; other leaves count by class."""
    if isinstance(batch, Tensor):
        return None
    if isinstance(batch, Mapping):
        return type(batch), tuple(batch), tuple(map(nesting, batch.values()))
    if isinstance(batch, tuple | list):
        return type(batch), tuple(map(nesting, batch))
    return type(batch)


def change_tensors(
    batch: Batch, change: Callable[[Tensor], Tensor], *, other: Callable[[Any], Any] | None = None
) -> Batch:
    """The batch with each tensor replaced by ``change``, depth first, and what else has a ``to`` by ``other``."""
    if isinstance(batch, Tensor):
        return change(batch)
    if other is not None and callable(getattr(batch, "to", None)):
        return other(batch)
    if isinstance(batch, Mapping):
        return {name: change_tensors(value, change, other=other) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        return _like(batch, [change_tensors(value, change, other=other) for value in batch])
    return batch


def _slice(batch: Batch, start: int, end: int, total: int) -> Batch:
    """The samples from ``start`` to ``end`` of a batch of ``total``; what has no row for each sample stays whole."""
    if isinstance(batch, Tensor):
        return batch[start:end] if batch.dim() and batch.shape[0] == total else batch
    if isinstance(batch, PackedSequence):
        return pack_sequence(unpack_sequence(batch)[start:end], enforce_sorted=False)
    if isinstance(batch, Mapping):
        return {name: _slice(value, start, end, total) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        if len(batch) == total and next(list_tensors(batch), None) is None:  # one label text a sample
            return batch[start:end]
        return _like(batch, [_slice(value, start, end, total) for value in batch])
    return batch


def _has_rows(batch: Batch, total: int) -> bool:
    """Whether each tensor has ``total`` rows or is a scalar."""
    if isinstance(batch, Tensor):
        return batch.dim() == 0 or batch.shape[0] == total
    if isinstance(batch, Mapping):
        return all(_has_rows(value, total) for value in batch.values())
    if isinstance(batch, tuple | list) and not isinstance(batch, PackedSequence):
        return all(_has_rows(value, total) for value in batch)
    return True


def _like(batch: tuple[Any, ...] | list[Any], values: list[Any]) -> Batch:
    """The values in a tuple or list of the same type as the batch."""
    if hasattr(batch, "_fields"):  # a named tuple takes its values one by one
        return type(batch)(*values)
    return type(batch)(values)
