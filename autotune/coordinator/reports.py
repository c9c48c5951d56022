"""What trials report: recorded together, told to the search, and answered."""

import math
from collections import defaultdict
from collections.abc import Sequence

from autotune.coordinator.aims import describe_prune, is_used_up, step_of, value_on_the_way
from autotune.coordinator.books import Books
from autotune.coordinator.tickets import Answer, Ticket
from autotune.events import EpochReport


class Reports:
    """The reports of trials that have not ended, as their processes of this start have sent them.

    A process that goes on from a checkpoint sends all earlier ones of its trial again.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._heard: defaultdict[int, list[EpochReport]] = defaultdict(list)

    def of(self, number: int) -> Sequence[EpochReport]:
        """Those of the trial of this number, in the order in which they came."""
        return self._heard[number]

    def forget(self, number: int) -> None:
        """The trial has ended, or begins anew."""
        self._heard.pop(number, None)

    def record(self, reports: Sequence[tuple[Ticket, EpochReport]]) -> list[Answer]:
        """Record reports of one or several trials in one transaction, and answer in order those that are new.

        Others were recorded before their trial was resumed. The search is told of all that have a finite value.
        """
        books = self._books
        told: dict[int, tuple[int, int, float]] = {}
        for index, (ticket, report) in enumerate(reports):
            number = ticket.row.number
            self._heard[number].append(report)
            value = value_on_the_way(books.spec.objectives[0], report)
            if math.isfinite(value):
                told[index] = number, step_of(report, budget=books.spec.budget), value
        are_new = books.records.add_reports([(ticket.row, report) for ticket, report in reports])
        books.search.store_reports(list(told.values()))
        answers: list[Answer] = []
        for index, ((ticket, report), is_new) in enumerate(zip(reports, are_new, strict=True)):
            if index in told:
                number, step, value = told[index]
                books.search.note_report(number, step=step, value=value)
            if is_new:
                answers.append(Answer(ticket, report, self._reason_to_prune(ticket, report)))
        return answers

    def _reason_to_prune(self, ticket: Ticket, report: EpochReport) -> str | None:
        """Why the trial should stop after this epoch, where the pruner says so; none after its last."""
        spec = self._books.spec
        # Asked of the last one too: the rungs that it passes are where others are held against this trial.
        is_hopeless = self._books.search.should_prune(ticket.row.number)
        is_last = is_used_up(report, budget=spec.budget)
        return describe_prune(report, spec=spec) if is_hopeless and not is_last else None
