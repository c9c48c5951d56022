"""What a race puts into a training loop: who decides at each step boundary which batch comes next, and when.

A trial has a pacer only after ``TrialRun.pace``; without one, a step costs no more than asking for it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from autotune.training.batches import Batch


@dataclass(frozen=True)
class Restartable:
    """An iterable made of a function that begins a pass."""

    begin: Callable[[], Iterator[Batch]]

    def __iter__(self) -> Iterator[Batch]:
        """Begin a pass."""
        return self.begin()


@dataclass(frozen=True)
class Source:
    """Where a training loop's batches come from; see ``Meter.watch``."""

    batches: Iterable[Batch]
    num_batches: int | None
    """Length of a whole pass; None where it is unknown."""
    change: Callable[[Batch], Batch] | None
    """Brings a batch to the device; None where nothing has to be done for that."""
    wind: Callable[[int, int], None] | None
    """Called before a pass begins with its epoch, counted from 1, and its first batch, counted from 0."""

    @property
    def can_restart(self) -> bool:
        """Whether a second pass can begin; an object that is its own iterator is used up by the first."""
        return not isinstance(self.batches, Iterator)

    def begin(self, epoch: int) -> Iterator[Batch]:
        """Begin a pass of this epoch at its first batch."""
        if self.wind is not None:
            self.wind(epoch, 0)
        return iter(self.batches)


class Pacer(Protocol):
    """Decides what a training loop does at each step boundary, and sees what it does in between."""

    @property
    def is_asking(self) -> bool:
        """Whether a batch is being asked for, so that a pass which begins now is one inside of another."""

    def pace(self, source: Source) -> Iterator[Batch]:
        """The batches that the loop is given in place of one pass over the source."""

    def see_loss(self, loss: Tensor) -> None:
        """Take note of a micro-batch's loss, times its share of the batch, before the backward pass."""

    def begin_optimizer(self) -> None:
        """Take note that the gradients are there, and the optimizer's step begins."""

    def end_optimizer(self) -> None:
        """Take note that the optimizer has stepped."""

    def end_whole(self) -> None:
        """Take note that a step which is one call is over, its optimizer included."""
