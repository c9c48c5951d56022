"""Waiting for memory that others hold: trials that ran out of it beside others, or are predicted to.

Two crowds are told apart. Where other trials of this start were on the device, the trial waits until
it can have the device alone: that ends by itself. Where it had the device alone, other programs
hold its memory: then it is tried again after pauses that grow, while smaller trials go on.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from autotune.coordinator.tickets import Ticket
from autotune.events import Finished, Outcome
from autotune.trial.leases import Lease, Place

PAUSES = (30.0, 120.0, 450.0)
"""Seconds before each new attempt of a trial on a device that other programs fill; ten minutes in all."""
MAX_WAITING = 4
"""While this many trials wait, no new trial is asked for: it would find the memory just as full."""


@dataclass(frozen=True)
class _Waiting:
    ticket: Ticket
    place: Place
    due_at: float
    """When the trial may start again, on the session's clock; from then on the device is kept free for it."""


class Crowds:
    """The trials that wait for memory, in the order in which they began to wait."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._num_pauses: Counter[int] = Counter()
        """How often each trial has paused, by its number."""

    @property
    def is_empty(self) -> bool:
        """Nobody waits."""
        return not self._waiting

    @property
    def is_full(self) -> bool:
        """So many wait that nothing new should be asked for."""
        return len(self._waiting) >= MAX_WAITING

    def add(self, ticket: Ticket, *, lease: Lease, has_company: bool, now: float) -> str | None:
        """Let a trial wait.

        Returns:
            When it starts again, in words; None where it has used up its pauses and is not added.

        Args:
            ticket: The trial.
            lease: Where it ran out, or is predicted to.
            has_company: Other trials of this start were on the device.
            now: On the session's clock.
        """
        number = ticket.row.number
        waiting = _Waiting(replace(ticket, refusal=None), lease.place, due_at=now)
        if has_company:
            self._waiting.append(waiting)
            return "once no other trial of the study is on its device"
        if self._num_pauses[number] == len(PAUSES):
            return None
        pause = PAUSES[self._num_pauses[number]]
        self._num_pauses[number] += 1
        self._waiting.append(replace(waiting, due_at=now + pause))
        return f"in {pause:.0f} s (pause {self._num_pauses[number]} of {len(PAUSES)})"

    def kept_free(self, *, now: float) -> frozenset[Place]:
        """Devices on which nothing else is to start: a trial's turn has come there."""
        return frozenset(waiting.place for waiting in self._waiting if waiting.due_at <= now)

    def next(self, *, taken: Iterable[Place], now: float) -> tuple[Ticket, Place] | None:
        """The first trial whose turn has come on a device that none of the study's is on; it waits no more."""
        on = frozenset(taken)
        for waiting in self._waiting:
            if waiting.due_at <= now and waiting.place not in on:
                self._waiting.remove(waiting)
                return waiting.ticket, waiting.place
        return None

    def give_back(self) -> list[Ticket]:
        """All that wait: the session is over."""
        left = [waiting.ticket for waiting in self._waiting]
        self._waiting.clear()
        return left


def give_up_waiting(crowded: Finished) -> Finished:
    """The end of a trial that found no memory beside other programs: infeasible, without a claim about its size."""
    waited = f"also after pauses of {', '.join(f'{pause:.0f}' for pause in PAUSES[:-1])} and {PAUSES[-1]:.0f} s"
    remedy = "end what holds the memory, or train elsewhere"
    return Finished(outcome=Outcome.INFEASIBLE, reason=f"{crowded.reason}, {waited}; {remedy}")
