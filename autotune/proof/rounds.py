"""Rounds of trainings: what was trained side by side, read from the order alone.

Machines get slower and faster over hours, so a winner is compared only with those trainings of the
reference that alternated with its own. In a round each contender is trained once. Every other
round runs backwards (A B B A), so that a drift affects all contenders alike. A round begins with a
contender of the previous one, so that the order alone shows where it begins.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Who = TypeVar("Who", bound=Hashable)


def split_rounds(order: Iterable[Who]) -> list[list[Who]]:
    """The order cut into rounds: a new one begins with a contender that the current one already has."""
    rounds: list[list[Who]] = []
    for who in order:
        if not rounds or who in rounds[-1]:
            rounds.append([])
        rounds[-1].append(who)
    return rounds


def plan_rounds(
    order: Sequence[Who], *, reference: Who, winners: Sequence[Who], repeats: int, is_open: bool
) -> list[list[Who]]:
    """The rounds that are still to be trained; the first may only complete a round that has begun.

    Args:
        order: What was trained so far, earlier winners included.
        reference: The contender that is in every round.
        winners: The contenders that are compared with it, in the order of a round.
        repeats: Rounds that each winner needs together with the reference.
        is_open: A last round that lacks a side may be completed, since it was trained just now.
    """
    rounds, planned = split_rounds(order), list[list[Who]]()
    if is_open and rounds and _is_half(rounds[-1], reference, winners):
        last, before = rounds.pop(), rounds[-1] if rounds else []
        needing = [who for who in winners if _num_shared(rounds, who, reference) < repeats]
        rest = [who for who in _turned(before, [reference, *needing]) if who not in last]
        rounds.append([*last, *rest])
        planned.append(rest)
    while needing := [who for who in winners if _num_shared(rounds, who, reference) < repeats]:
        rounds.append(_turned(rounds[-1] if rounds else [], [reference, *needing]))
        planned.append(rounds[-1])
    return [rest for rest in planned if rest]


def _is_half(last: Sequence[Who], reference: Who, winners: Sequence[Who]) -> bool:
    known = {reference, *winners}
    return known.issuperset(last) and (reference not in last or len(last) == 1)


def _turned(last: Sequence[Who], members: Sequence[Who]) -> list[Who]:
    """A round of the members: those of the last round first, in reverse order, then the others."""
    again = [who for who in reversed(last) if who in members]
    return [*again, *(who for who in members if who not in again)]


def _num_shared(rounds: Iterable[Sequence[Who]], who: Who, reference: Who) -> int:
    return sum(who in each and reference in each for each in rounds)
