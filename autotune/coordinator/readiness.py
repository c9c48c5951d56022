"""Makes trials ready for launch: their speed parameters are decided, and they are held against memory.

What this changes is written down, in our row first, before the trial is launched.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace

from autotune.coordinator.admission import Admission
from autotune.coordinator.books import Books
from autotune.coordinator.orders import make_order
from autotune.coordinator.seeds import trial_seed
from autotune.coordinator.speeds import Floor, Speeds
from autotune.coordinator.tickets import Ticket
from autotune.events import Finished, Outcome, Scalar, TrialOrder
from autotune.outages import persist
from autotune.trial.leases import Lease


class Readiness:
    """Decides with which speed parameters a trial is launched, and whether it is launched at all.

    Args:
        books: The study's.
        speeds: Where speed parameters come from.
        admission: What is known of memory.
    """

    def __init__(self, books: Books, *, speeds: Speeds, admission: Admission) -> None:
        self._books = books
        self._speeds = speeds
        self._admission = admission

    def decide_speed(self, ticket: Ticket, *, floor: Floor) -> Ticket:
        """A trial that was never launched, with the speed parameters that a new one would have. May take minutes.

        One that has fallen back keeps the baseline's.
        """
        row = ticket.row
        if row.speed_fallback is not None:
            return ticket
        self._speeds.measure(row.number, row.parameters, floor=floor)
        parameters = self._speeds.complete(row.number, row.parameters, lease=floor.lease)
        if parameters == row.parameters:
            return ticket
        return replace(ticket, row=self._books.records.set_parameters(row, parameters=parameters))

    def hold_against_memory(self, ticket: Ticket, *, lease: Lease) -> Ticket:
        """The ticket with its refusal, if there is one: speed parameters fix what it holds as much as the others.

        Where those of a race alone are too much for it, it has the baseline's.
        """
        row = ticket.row
        refusal = self._admission.refusal(row.number, parameters=row.parameters, lease=lease)
        if refusal is not None and not refusal.is_crowded and row.speed_fallback is None:
            parameters = self._speeds.fallback(row.number, row.parameters)
            if parameters is not None:
                self._speeds.rule_out(row.parameters)
                if self._admission.refusal(row.number, parameters=parameters, lease=lease) is None:
                    return self._record_fallback(ticket, parameters=parameters, reason=refusal.reason)
        return replace(ticket, refusal=refusal)

    def order_ahead(self, ticket: Ticket, *, lease: Lease) -> TrialOrder | None:
        """The order of the trial that probably follows this one on that lease; nothing is written down.

        None where a race would come before that trial, where it is known to run out of memory, or where somebody has
        queued a trial.
        """
        books = self._books
        foreseen = persist(functools.partial(books.search.foresee, like=ticket.row.parameters))
        if foreseen is None:
            return None
        number, proposed = foreseen
        if self._speeds.may_measure(number, proposed):
            return None
        parameters = self._speeds.complete(number, proposed, lease=lease)
        if self._admission.refusal(number, parameters=parameters, lease=lease) is not None:
            return None
        return make_order(
            books.spec,
            study=books.study.name,
            number=number,
            parameters=parameters,
            seed=trial_seed(books.spec.seed, number),
            lease=lease,
            folder=books.files.trial_path(number),
        )

    def fallback(self, ticket: Ticket, finished: Finished) -> dict[str, Scalar] | None:
        """The parameters, with the baseline's for speed, of a trial that those of a race may have made infeasible.

        None where it ended otherwise, ran out of memory, which says something of its size, or has the baseline's
        speed parameters already.
        """
        row = ticket.row
        is_told = row.speed_fallback is not None or finished.is_out_of_memory
        if finished.outcome is not Outcome.INFEASIBLE or is_told:
            return None
        return self._speeds.fallback(row.number, row.parameters)

    def fall_back(self, ticket: Ticket, finished: Finished, *, parameters: Mapping[str, Scalar]) -> Ticket:
        """The trial as it begins anew with its ``fallback``; later trials of its workload have that at once."""
        self._speeds.rule_out(ticket.row.parameters)
        return self._record_fallback(ticket, parameters=parameters, reason=finished.reason or finished.outcome.value)

    def _record_fallback(self, ticket: Ticket, *, parameters: Mapping[str, Scalar], reason: str) -> Ticket:
        books = self._books
        # What a process with other speed parameters saved may not fit this one's model and optimizer.
        books.files.remove_checkpoint(ticket.row.number)
        row = books.records.fall_back(ticket.row, parameters=parameters, reason=reason)
        books.search.note_fallback(row.number, reason=row.speed_fallback)
        books.publisher.notify()
        return replace(ticket, row=row, is_adopted=False)
