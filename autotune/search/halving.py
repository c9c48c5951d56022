"""Optuna's successive halving and hyperband, over values that are kept sorted by rung."""

import math
from binascii import crc32
from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any


@dataclass(frozen=True)
class Brackets:
    """Hyperband's brackets, among which trials are drawn by their numbers."""

    study: str
    shares: tuple[int, ...]
    """Of all trials, by bracket; none where not even one rung is within a whole trial."""

    def draw(self, number: int) -> int:
        """The bracket of a trial; always the same for a number."""
        place = crc32(f"{self.study}_{number}".encode()) % sum(self.shares)
        for bracket, share in enumerate(self.shares):
            place -= share
            if place < 0:
                return bracket
        raise AssertionError("the place is below the sum of all shares")


def brackets_of(study: str, *, min_resource: int, max_resource: int, reduction_factor: int) -> Brackets:
    """As many brackets as in Hyperband (Li et al., JMLR 18, 2018, algorithm 1), in Optuna's shares."""
    num_brackets = math.floor(math.log(max_resource / min_resource, reduction_factor)) + 1
    left = [num_brackets - 1 - bracket for bracket in range(num_brackets)]
    shares = [math.ceil(num_brackets * reduction_factor**rungs / (rungs + 1)) for rungs in left]
    return Brackets(study, tuple(shares))


class Halving:
    """At each rung, stops a trial that is not among the best 1/``reduction_factor`` that came so far.

    The answers are those of ``optuna.pruners.SuccessiveHalvingPruner`` (without a bootstrap), and with
    brackets those of ``optuna.pruners.HyperbandPruner``. What a trial reached is noted down as
    Optuna does, under ``completed_rung_0`` and so on.
    """

    def __init__(
        self, direction: str, *, min_resource: int, reduction_factor: int, brackets: Brackets | None = None
    ) -> None:
        self._is_maximized = direction == "maximize"
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor
        self._brackets = brackets
        self._reached: dict[int, int] = {}
        """How many rungs each trial has behind it."""
        self._values: defaultdict[tuple[int, int], list[float]] = defaultdict(list)
        """Of all trials that came to a rung of a bracket, from the lowest."""

    def complete(self, reports: Mapping[int, float]) -> None:
        """A trial is compared at its rungs, whatever comes of it."""

    def recall(self, number: int, notes: Mapping[str, Any]) -> None:
        """The rungs that the trial reached count again; those that are known already are not doubled."""
        if self._has_no_bracket():
            return
        for rung in count(self._reached.get(number, 0)):
            value = notes.get(_note(rung))
            if value is None:
                return
            self._enter(number, rung=rung, value=value)

    def answer(self, number: int, reports: Mapping[int, float]) -> tuple[bool, Mapping[str, Any]]:
        """The last report decides; one that is NaN at a rung stops the trial."""
        if not reports or self._has_no_bracket():
            return False, {}
        step = max(reports)
        value, bracket = reports[step], self._bracket(number)
        notes: dict[str, Any] = {}
        while True:
            rung = self._reached.get(number, 0)
            if step < self._min_resource * self._reduction_factor ** (bracket + rung):
                return False, notes
            if math.isnan(value):
                return True, notes
            self._enter(number, rung=rung, value=value)
            notes[_note(rung)] = value
            if not self._is_promoted(value, competing=self._values[bracket, rung]):
                return True, notes

    def _has_no_bracket(self) -> bool:
        return self._brackets is not None and not self._brackets.shares

    def _bracket(self, number: int) -> int:
        return 0 if self._brackets is None else self._brackets.draw(number)

    def _enter(self, number: int, *, rung: int, value: float) -> None:
        insort(self._values[self._bracket(number), rung], value)
        self._reached[number] = rung + 1

    def _is_promoted(self, value: float, *, competing: list[float]) -> bool:
        # The first reduction_factor - 1 trials are promoted if they are the best so far.
        last = max(len(competing) // self._reduction_factor - 1, 0)
        if self._is_maximized:
            return value >= competing[-(last + 1)]
        return value <= competing[last]


def _note(rung: int) -> str:
    return f"completed_rung_{rung}"
