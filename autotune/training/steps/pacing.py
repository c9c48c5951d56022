"""What a race puts into a training loop: who decides at each step boundary which batch comes next, and when.

A trial has none of this unless ``TrialRun.pace`` was called, and asks at a step no more than whether it is there.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor
from torch.utils.data import DataLoader

from autotune.training.batches import Batch

_PREFETCH_FACTOR = 2
"""DataLoader's own, for each worker."""


@dataclass(frozen=True)
class Restartable:
    """An iterable from a function that begins a pass."""

    begin: Callable[[], Iterator[Batch]]
    num_prefetched: int = 0
    """Batches that its workers have ready or in work while nobody asks."""

    def __iter__(self) -> Iterator[Batch]:
        """One pass."""
        return self.begin()


@dataclass(frozen=True)
class Source:
    """Where a training loop's batches come from, as ``Meter.watch`` was told."""

    batches: Iterable[Batch]
    num_batches: int | None
    """Length of a whole pass, where it is known."""
    change: Callable[[Batch], Batch] | None
    """Brings a batch to the device."""
    wind: Callable[[int, int], None] | None
    """Called with the epoch, counted from 1, and the first batch, before a pass begins."""

    @property
    def can_restart(self) -> bool:
        """A second pass can begin; what is its own iterator is used up by the first."""
        return not isinstance(self.batches, Iterator)

    @property
    def num_prefetched(self) -> int:
        """Batches that a pre-filled queue holds."""
        if isinstance(self.batches, DataLoader):
            return self.batches.num_workers * (self.batches.prefetch_factor or _PREFETCH_FACTOR)
        return self.batches.num_prefetched if isinstance(self.batches, Restartable) else 0

    def begin(self, epoch: int) -> Iterator[Batch]:
        """Begin a pass."""
        if self.wind is not None:
            self.wind(epoch, 0)
        return iter(self.batches)


class Pacer(Protocol):
    """Decides what a training loop does at each step boundary, and sees what it does in between."""

    def pace(self, source: Source) -> Iterator[Batch]:
        """The batches that the loop trains on, in place of one pass over the source."""

    def see_loss(self, loss: Tensor) -> None:
        """The loss of a micro-batch, times its share, before its backward pass."""

    def begin_optimizer(self) -> None:
        """The gradients are there."""

    def end_optimizer(self) -> None:
        """The optimizer has stepped."""

    def end_whole(self) -> None:
        """A step that is one call is over, its optimizer too."""
