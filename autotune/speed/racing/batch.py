"""Which batches fit the device: found by a few contestants, not by trials that fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autotune.shortages import Shortage
from autotune.speed.measuring.arena import Contestant, ContestantLostError

_FINENESS = 8
"""The answer is within one part in so many of what fits."""
_MOST_HALVINGS = 10
"""Most times that a first batch which runs out is halved: where a thousandth of it has no room, nothing has."""


@dataclass(frozen=True)
class BatchTry:
    """One batch size that was tried."""

    batch_size: int
    peak_memory_bytes: int | None
    """What it held at most; None where it ran out, or was predicted to."""
    reason: str
    """Why it does not fit; empty where it does."""
    shortage: Shortage | None = None
    """Whose memory it ran out of by itself; None for any other reason."""


@dataclass(frozen=True)
class BatchLimit:
    """The largest batch that fits, and what was tried on the way."""

    largest: int | None
    """The largest batch size that fits; None where none does, down to a thousandth of the first."""
    is_bounded_by_data: bool
    """The largest batch is the whole training set, and memory would take more."""
    tries: tuple[BatchTry, ...]

    @property
    def bound(self) -> str:
        """Why no larger one is taken: of those that did not fit, the smallest tells."""
        failed = [attempt for attempt in self.tries if attempt.reason]
        if self.is_bounded_by_data or not failed:
            return "the whole training set"
        least = min(failed, key=lambda attempt: attempt.batch_size)
        return f"{least.batch_size}: {least.reason}"


def find_largest_batch(
    enter: Callable[[int], Contestant],
    *,
    start: int,
    limit: int,
    memory_bytes: int | None = None,
    tried: Callable[[BatchTry], None] = lambda _: None,
) -> BatchLimit:
    """Double the batch until it no longer fits, or halve it until it does, then close in on the limit.

    A batch whose peak the last two peaks predict to be above ``memory_bytes`` is not tried: on a CPU
    running out ends other programs too. Beside a smaller batch that trains, one that hangs or crashes is
    too large as well: a step may take minutes, and kernels have limits of their own.

    Args:
        enter: Starts a contestant with a batch size.
        start: The first to try.
        limit: The number of training samples: no batch is larger.
        memory_bytes: What the device has; None where nothing is known.
        tried: Hears of each try when it is over.

    Raises:
        ContestantLostError: No batch was trained with, for another reason than memory.
    """
    search = _Search(enter, memory_bytes, tried)
    size, bad = _first_that_fits(search, start=min(start, limit))
    if size == 0:
        return BatchLimit(None, is_bounded_by_data=False, tries=tuple(search.tries))
    good = size
    while bad is None:
        good = min(size, search.whole_set or size)
        if size >= limit or good < size:
            return BatchLimit(good, is_bounded_by_data=True, tries=tuple(search.tries))
        size = min(2 * size, limit)
        bad = None if search.fits(size) else size
    while bad - good > max(1, good // _FINENESS):
        middle = (good + bad) // 2
        if search.fits(middle):
            good = middle
        else:
            bad = middle
    return BatchLimit(good, is_bounded_by_data=False, tries=tuple(search.tries))


def try_batches(
    enter: Callable[[int], Contestant],
    *,
    sizes: Sequence[int],
    is_next_too_large: bool = False,
    may_start: Callable[[], bool] = lambda: True,
    tried: Callable[[BatchTry], None] = lambda _: None,
) -> tuple[BatchTry, ...]:
    """Find which of some batch sizes train: the largest first, and where it does not, by halves.

    One that hangs or crashes is too large as well, since a smaller batch is known to train.

    Args:
        enter: Starts a contestant with a batch size.
        sizes: Batch sizes in rising order, each larger than one that is known to train.
        is_next_too_large: One above them is known not to train: begin by halves.
        may_start: Asked before each try, so that the search ends with its time.
        tried: Hears of each try when it is over.
    """
    search = _Search(enter, None, tried, is_known_to_train=True)
    good, bad = -1, len(sizes)
    at = (good + bad) // 2 if is_next_too_large else bad - 1
    while good < at < bad and may_start():
        if search.fits(sizes[at]):
            good = at
        else:
            bad = at
        at = (good + bad) // 2
    return tuple(search.tries)


def _first_that_fits(search: "_Search", *, start: int) -> tuple[int, int | None]:
    """The first batch of a halved series that fits, 0 if none does; and the one before it, None for the first."""
    size, bad = start, None
    for _ in range(_MOST_HALVINGS + 1):
        if search.fits(size):
            return size, bad
        if size == 1:
            break
        size, bad = size // 2, size
    return 0, bad


class _Search:
    """Tries batches, and remembers what each of them held."""

    def __init__(
        self,
        enter: Callable[[int], Contestant],
        memory_bytes: int | None,
        tried: Callable[[BatchTry], None],
        *,
        is_known_to_train: bool = False,
    ) -> None:
        self._enter = enter
        self._memory_bytes = memory_bytes
        self._tried = tried
        self._is_known_to_train = is_known_to_train
        self._peaks: dict[int, int] = {}
        self.whole_set: int | None = None
        """Samples of the training set, once one batch had all of them."""
        self.tries: list[BatchTry] = []

    def fits(self, batch_size: int) -> bool:
        """Whether a batch of this size trains, or may be predicted not to.

        Raises:
            ContestantLostError: It was lost for another reason than memory, and no batch is known to train.
        """
        predicted = self._predict(batch_size)
        if predicted is not None and self._memory_bytes is not None and predicted > self._memory_bytes:
            reason = f"predicted not to fit: about {predicted / 2**30:.1f} GiB of {self._memory_bytes / 2**30:.1f} GiB"
            self._add(BatchTry(batch_size, None, reason))
            return False
        try:
            self._peaks[batch_size] = peak = self._train(batch_size)
        except ContestantLostError as error:
            if error.kind != "out of memory" and not (self._peaks or self._is_known_to_train):
                raise
            reason = str(error) if error.kind == "out of memory" else f"{error.kind}: {error}"
            self._add(BatchTry(batch_size, None, reason, error.shortage))
            return False
        self._add(BatchTry(batch_size, peak, ""))
        return True

    def _add(self, attempt: BatchTry) -> None:
        self.tries.append(attempt)
        self._tried(attempt)

    def _train(self, batch_size: int) -> int:
        """Train two steps; the peak of their memory, in bytes."""
        contestant = self._enter(batch_size)
        try:
            block = contestant.run_block(seconds=0.0, min_steps=2)
        finally:
            contestant.retire()
        if contestant.warmed.steps_per_epoch == 1:
            self.whole_set = block.samples // block.steps
        return block.peak_memory_bytes

    def _predict(self, batch_size: int) -> float | None:
        """The peak by a line through the two largest batches that fitted, in bytes; None with fewer."""
        if len(self._peaks) < 2:  # noqa: PLR2004 - a line goes through two points
            return None
        (low, low_peak), (high, high_peak) = sorted(self._peaks.items())[-2:]
        return high_peak + max(0.0, (high_peak - low_peak) / (high - low)) * (batch_size - high)
