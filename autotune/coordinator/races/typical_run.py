"""How long a study's trainings are, as far as what they pay once is to be repaid in them."""

import statistics
from dataclasses import replace

from autotune.coordinator.aims import targets_of
from autotune.coordinator.books import Books
from autotune.speed.racing.run_length import RunLength


class TypicalRun:
    """The budget's length; where trials end at their targets, what complete ones took so far, in the median.

    Until one is complete the budget's length counts there too. What is pruned trains for less, and counts as a whole.
    """

    def __init__(self, books: Books, *, by_budget: RunLength) -> None:
        """Nothing is read yet.

        Args:
            books: The study's.
            by_budget: What its budget says.
        """
        self._books = books
        self._by_budget = by_budget
        self._ends_at_targets = bool(targets_of(books.spec.objectives))

    def now(self) -> RunLength:
        """The length of a training by what is recorded at this moment."""
        if not self._ends_at_targets:
            return self._by_budget
        seen = self._books.records.epochs_trained(self._books.study)
        return replace(self._by_budget, epochs=round(statistics.median(seen))) if seen else self._by_budget
