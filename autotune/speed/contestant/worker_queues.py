"""The workers that a training's batches come from, and what these have ready, whatever stands around a DataLoader.

A loop of the user's own may hand on a loader inside of tqdm, enumerate, itertools, a generator or a class. Whichever it
is asks the DataLoader's iterator for its batches, and there they are counted. Processes of another kind of loader are
not seen: such a loop counts as one that fetches its batches itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch.utils.data.dataloader import _BaseDataLoaderIter

from autotune.training.batches import Batch


class WorkerQueues:
    """The iterators of DataLoaders with workers that batches came from, of those that have not ended."""

    def __init__(self) -> None:
        self._taken: WeakKeyDictionary[_BaseDataLoaderIter, int] = WeakKeyDictionary()
        """Batches that each has given in this round. Its workers end with it, so that nothing may keep it here."""

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the batches of all DataLoaders of this process; torch has no public place for that (torch 2.13)."""
        take, counts = _BaseDataLoaderIter.__next__, self._taken

        def __next__(self: _BaseDataLoaderIter) -> Batch:  # noqa: N807 - it takes that method's place
            try:
                batch = take(self)
            except StopIteration:
                counts.pop(self, None)
                raise
            if _num_workers(self) > 0:
                counts[self] = counts.get(self, 0) + 1
            return batch

        _BaseDataLoaderIter.__next__ = __next__  # type: ignore[method-assign] # in a process that does nothing else
        try:
            yield
        finally:
            _BaseDataLoaderIter.__next__ = take  # type: ignore[method-assign]

    @property
    def num_workers(self) -> int:
        """Processes that fetch batches; 0 where the loop's own does."""
        return sum(_num_workers(iterator) for iterator in list(self._taken))

    @property
    def num_prefetched(self) -> int:
        """Batches that these have ready or in work while nobody asks for one."""
        return sum(_num_prefetched(iterator) for iterator in list(self._taken))

    def begin_round(self) -> None:
        """Count from here."""
        for iterator in list(self._taken):
            self._taken[iterator] = 0

    @property
    def is_round_whole(self) -> bool:
        """Whether the workers of each loader have given equally many batches since the round began."""
        return all(number % _num_workers(iterator) == 0 for iterator, number in list(self._taken.items()))


def _num_workers(iterator: _BaseDataLoaderIter) -> int:
    number: int = iterator._num_workers  # noqa: SLF001 - its loader, which tells it, is not known here
    return number


def _num_prefetched(iterator: _BaseDataLoaderIter) -> int:
    each: int = iterator._prefetch_factor  # type: ignore[attr-defined] # noqa: SLF001 - as above
    return _num_workers(iterator) * each
