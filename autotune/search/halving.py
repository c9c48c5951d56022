"""Successive halving and hyperband, over values that are kept sorted by rung."""

import math
from binascii import crc32
from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autotune.search.worth import Reading, Worth, newest

_COMPLETED = "completed_rung_"
_SEEN = "seen_rung_"


@dataclass(frozen=True)
class Brackets:
    """Hyperband's brackets, among which trials are drawn by their numbers."""

    study: str
    shares: tuple[int, ...]
    """Relative share of all trials for each bracket; empty where a whole trial is shorter than the first rung."""

    def draw(self, number: int) -> int:
        """The bracket of a trial; always the same for a number."""
        place = crc32(f"{self.study}_{number}".encode()) % sum(self.shares)
        for bracket, share in enumerate(self.shares):
            place -= share
            if place < 0:
                return bracket
        raise AssertionError("the place is below the sum of all shares")


def brackets_of(study: str, *, min_resource: int, max_resource: int, reduction_factor: int) -> Brackets:
    """Hyperband's brackets: their number is from Li et al. (JMLR 18, 2018, algorithm 1), their shares are Optuna's."""
    num_brackets = math.floor(math.log(max_resource / min_resource, reduction_factor)) + 1
    left = [num_brackets - 1 - bracket for bracket in range(num_brackets)]
    shares = [math.ceil(num_brackets * reduction_factor**rungs / (rungs + 1)) for rungs in left]
    return Brackets(study, tuple(shares))


class Halving:
    """At each rung, stops a trial that is not among the best 1/``reduction_factor`` of those that came so far.

    With ``read=newest`` the answers are those of ``optuna.pruners.SuccessiveHalvingPruner`` (without a bootstrap), and
    with brackets those of ``optuna.pruners.HyperbandPruner``. A trial's value at a rung is noted as Optuna does, under
    ``completed_rung_0`` and so on. If it was read at more of the resource than the rung's, that amount is noted under
    ``seen_rung_0``.
    """

    def __init__(
        self,
        direction: str,
        *,
        min_resource: int,
        reduction_factor: int,
        brackets: Brackets | None = None,
        read: Reading = newest,
    ) -> None:
        """Begin without trials.

        Args:
            direction: ``maximize`` or ``minimize``.
            min_resource: The first rung of the first bracket.
            reduction_factor: Ratio of one rung to the one before.
            brackets: Hyperband's brackets; None for successive halving.
            read: Gives a trial's value at a rung. Values that others reached with more of the resource don't count
                against it.
        """
        self._is_maximized = direction == "maximize"
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor
        self._brackets = brackets
        self._read = read
        self._reached: dict[int, int] = {}
        """Number of rungs that each trial has passed, by trial number."""
        self._entered: defaultdict[int, dict[int, Worth]] = defaultdict(dict)
        """What each trial was worth at the rungs at which it was compared, by trial number and rung."""
        self._worths: defaultdict[tuple[int, int], list[Worth]] = defaultdict(list)
        """Values of all trials that came to a rung, by bracket and rung, in ascending order."""

    def complete(self, reports: Mapping[int, float]) -> None:
        """Nothing is learned: a trial was compared at its rungs already."""

    def recall(self, number: int, notes: Mapping[str, Any]) -> None:
        """Count the rungs that the trial's notes name again; those that are known already are not counted twice."""
        if self._has_no_bracket():
            return
        completed = (name.removeprefix(_COMPLETED) for name in notes if name.startswith(_COMPLETED))
        for rung in sorted(int(name) for name in completed):
            if rung >= self._reached.get(number, 0):
                seen = notes.get(f"{_SEEN}{rung}", self._resource(number, rung=rung))
                self._enter(number, rung=rung, worth=Worth(notes[f"{_COMPLETED}{rung}"], seen=seen))

    def forget(self, number: int) -> list[str]:
        """Put the trial back to its first rung, so that it is no rival of others at the rungs where it was."""
        entered = self._entered.pop(number, {})
        for rung, worth in entered.items():
            self._worths[self._bracket(number), rung].remove(worth)
        self._reached.pop(number, None)
        return [f"{prefix}{rung}" for rung in entered for prefix in (_COMPLETED, _SEEN)]

    def answer(self, number: int, reports: Mapping[int, float]) -> tuple[bool, Mapping[str, Any]]:
        """The answer at all rungs that the last report has reached; a NaN there stops the trial."""
        if not reports or self._has_no_bracket():
            return False, {}
        step = max(reports)
        notes: dict[str, Any] = {}
        while True:
            rung = self._reached.get(number, 0)
            resource = self._resource(number, rung=rung)
            if step < resource:
                return False, notes
            if math.isnan(reports[step]):
                return True, notes
            worth = self._read(reports, rung=resource, next_rung=resource * self._reduction_factor)
            if worth is None:
                self._reached[number] = rung + 1
                continue
            self._enter(number, rung=rung, worth=worth)
            notes[f"{_COMPLETED}{rung}"] = worth.value
            if worth.seen > resource:
                notes[f"{_SEEN}{rung}"] = worth.seen
            if not self._is_promoted(worth, competing=self._worths[self._bracket(number), rung]):
                return True, notes

    def _has_no_bracket(self) -> bool:
        return self._brackets is not None and not self._brackets.shares

    def _bracket(self, number: int) -> int:
        return 0 if self._brackets is None else self._brackets.draw(number)

    def _resource(self, number: int, *, rung: int) -> int:
        return int(self._min_resource * self._reduction_factor ** (self._bracket(number) + rung))

    def _enter(self, number: int, *, rung: int, worth: Worth) -> None:
        insort(self._worths[self._bracket(number), rung], worth)
        self._entered[number][rung] = worth
        self._reached[number] = rung + 1

    def _is_promoted(self, worth: Worth, *, competing: list[Worth]) -> bool:
        rivals = [other.value for other in competing if worth.is_comparable_with(other)]
        # The first reduction_factor - 1 trials are promoted if they are the best so far.
        last = max(len(rivals) // self._reduction_factor - 1, 0)
        if self._is_maximized:
            return worth.value >= rivals[-(last + 1)]
        return worth.value <= rivals[last]
