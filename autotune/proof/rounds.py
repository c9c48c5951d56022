"""Rounds of trainings: what was trained side by side, read from the order alone.

Machines get slower and faster over hours, so that a winner is compared with those trainings of the
reference alone that alternated with its own. In a round each contender is trained once. Every other
round runs backwards (A B B A), so that a drift does the same to all; and a round begins with a
contender of the last one, which is how an order falls into rounds again.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Who = TypeVar("Who", bound=Hashable)


def split_rounds(order: Iterable[Who]) -> list[list[Who]]:
    """The order cut where a contender comes again that the round has already."""
    rounds: list[list[Who]] = []
    for who in order:
        if not rounds or who in rounds[-1]:
            rounds.append([])
        rounds[-1].append(who)
    return rounds


def plan_rounds(
    order: Sequence[Who], *, reference: Who, winners: Sequence[Who], repeats: int, is_open: bool
) -> list[list[Who]]:
    """The rounds that are missing until each winner had its rounds with the reference; the first may be half a one.

    Args:
        order: What was trained so far, by earlier winners too.
        reference: Is in every round.
        winners: In the order of a round.
        repeats: Rounds of each.
        is_open: The last round goes on if one side is missing: it is not long ago.
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
    """A round of the members: those of the last round first, backwards."""
    again = [who for who in reversed(last) if who in members]
    return [*again, *(who for who in members if who not in again)]


def _num_shared(rounds: Iterable[Sequence[Who]], who: Who, reference: Who) -> int:
    return sum(who in each and reference in each for each in rounds)
