"""What of a study's time its races may take."""

from dataclasses import dataclass

from autotune.coordinator.standing import Standing
from autotune.spec.model import Budget

DEFAULT_SHARE = 0.1
"""Share of a study's time that its races may take, unless ``speed_search: {race: {share: ...}}`` says otherwise."""
_FIRST_SECONDS = 30.0
"""What the first race may take where its share of the trials' time is less than that, or where nobody knows how long
the trials will take: what it finds serves later studies, too."""
_LEAST_FIRST_SECONDS = 12.0
"""The least that a first race has: enough for a bottleneck, the noise, a knob or two and their confirmation."""
_LEAST_SECONDS = 6.0
"""The least that any race has: less is not enough for a knob or two, brief as the race is, and none is run."""
_MOST_SECONDS = 120.0
"""The most that a race has whose contestants train side by side."""
_MOST_SECONDS_IN_TURNS = 900.0
"""The most that a race has whose contestants have no room side by side: all that it measures costs a start each."""
_MOST_OF_WHAT_IS_LEFT = 0.5
"""Share of the study's remaining time that a first race may take; one that would take more is not run."""
_LEAST_AGAIN = 0.25
"""Share of a first race's time that it has at least when it is run again, however much of that time was used up by
starts without an answer: with less it could find nothing, and the study would go without a winner."""


@dataclass(frozen=True)
class Allowance:
    """Seconds that one race may take."""

    seconds: float
    seconds_in_turns: float
    """What the race may take where two contestants have no room on the device side by side."""

    @property
    def is_enough(self) -> bool:
        """Whether a race of so many seconds can find anything."""
        return self.seconds >= _LEAST_SECONDS


class Allowances:
    """What each race may take, by what the study has spent on races so far."""

    def __init__(self, *, budget: Budget, share: float, standing: Standing) -> None:
        """Begin with a study of which no race has asked yet.

        Args:
            budget: What the study may spend.
            share: The share of the study's time that its races may take, 0 to 1.
            standing: The study's clock, with what its races have taken so far.
        """
        self._budget = budget
        self._share = share
        self._standing = standing

    def next(self) -> Allowance:
        """What a race after the first one may take: what is left of the races' share."""
        left = self._share * self._standing.elapsed_seconds - self._standing.speed_seconds
        return _allowance(min(_MOST_SECONDS, left), in_turns=min(_MOST_SECONDS_IN_TURNS, left))

    def first(self, *, unfinished_seconds: float) -> Allowance:
        """What the first race may take: what earlier starts have left of its time, or some of it at least.

        Args:
            unfinished_seconds: Seconds that the first race took in starts that ended in it, or in which it came to no
                answer.
        """
        seconds = self._first(_MOST_SECONDS, unfinished=unfinished_seconds)
        return _allowance(seconds, in_turns=self._first(_MOST_SECONDS_IN_TURNS, unfinished=unfinished_seconds))

    def _first(self, most: float, *, unfinished: float) -> float:
        """Seconds that the first race has, ``most`` at most; 0 where the study has too little time left to repay it."""
        limit, foreseen = self._budget.seconds, self._standing.foreseen_seconds
        shares = [max(_LEAST_FIRST_SECONDS, self._share * limit)] if limit is not None else []
        if foreseen is not None or limit is None:
            shares.append(max(_FIRST_SECONDS, self._share * (foreseen or 0.0)))
        seconds = _again(min(most, *shares), unfinished=unfinished)
        if limit is None:
            return seconds
        # What is left is too short to be repaid where the race would be most of it.
        left = limit - self._standing.reserved_seconds - self._standing.elapsed_seconds
        return seconds if seconds <= _MOST_OF_WHAT_IS_LEFT * left else 0


def _again(whole: float, *, unfinished: float) -> float:
    return max(whole - unfinished, _LEAST_FIRST_SECONDS, _LEAST_AGAIN * whole)


def _allowance(seconds: float, *, in_turns: float) -> Allowance:
    return Allowance(seconds, max(seconds, in_turns))
