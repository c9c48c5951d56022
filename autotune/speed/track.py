"""One incumbent and the challengers that it meets: each heat is measured, recorded, and never lost."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from autotune.events import Scalar
from autotune.spec.written import written
from autotune.speed.arena import Arena, Contestant, ContestantLostError
from autotune.speed.comparison import Comparison, compare, is_clear, is_out_of_reach, seconds_per_sample
from autotune.speed.entries import difference
from autotune.speed.heats import Clock, Heats
from autotune.speed.measurement import noise_floor
from autotune.speed.pace import Pace
from autotune.speed.result import Heat, Stage

_FASTER_BY_FAR = 1.5
"""A knob that is surely faster by this much is adopted at once: what the old incumbent waited for hid the others."""
_NARROW = 1.04
"""The far end of an interval over its near end, where a confirmed gain is known well enough."""
_SLOWER_BY_FAR = 1.3
"""Slower than the incumbent by this, twice in a row, needs no closer look."""


@dataclass(frozen=True)
class Finish:
    """How a heat ended for a challenger that came to its end."""

    setting: dict[str, Scalar]
    comparison: Comparison
    is_kept: bool

    @property
    def ratio(self) -> float:
        """Its throughput over the incumbent's."""
        return self.comparison.ratio

    @property
    def is_by_far(self) -> bool:
        """It is surely faster by so much that what hindered the incumbent hid everything else."""
        return _is_by_far(self.comparison)


Objection: TypeAlias = Callable[[Contestant, Contestant, Comparison], str | None]
"""Takes the incumbent, a faster challenger and their comparison; says why the challenger is not kept."""


class Track:
    """Where heats are run; holds the incumbent, which stays alive from one heat to the next."""

    def __init__(
        self, arena: Arena, *, baseline: Mapping[str, Scalar], pace: Pace, heard: Callable[[Heat], None], clock: Clock
    ) -> None:
        """Enter the baseline as the first incumbent.

        Raises:
            ContestantLostError: It can't be trained with.
        """
        self.arena = arena
        self.pace = pace
        self.heats = Heats(heard, clock=clock)
        self.noise_floor = 0.0
        self.is_floor_known = False
        self._clock = clock
        began = clock()
        self.incumbent: Contestant = arena.enter(dict(baseline))
        self._enter_seconds = clock() - began
        self.block_seconds = pace.block_seconds
        """About how long a block takes here, with what surrounds it."""

    def close(self) -> None:
        """Retire the incumbent."""
        self.incumbent.retire()

    def find_noise_floor(self) -> None:
        """Measure the incumbent against a twin of it: what they differ by is noise.

        Raises:
            ContestantLostError: Two contestants of the incumbent's setting can't train side by side.
        """
        twin = self._enter_twin()
        began = self._clock()
        try:
            self.is_floor_known = True
            self.noise_floor = noise_floor(
                self.incumbent,
                twin,
                quads=self.pace.floor_quads,
                seconds=self.pace.block_seconds,
                min_steps=self.pace.min_steps,
                confidence=self.pace.screen_confidence,
            )
        finally:
            twin.retire()
        self.block_seconds = (self._clock() - began) / (4 * self.pace.floor_quads)

    def heat(
        self,
        stage: Stage,
        setting: Mapping[str, Scalar],
        *,
        objection: Objection | None = None,
        may_adopt: bool = False,
        is_proven: bool = False,
    ) -> Finish | None:
        """Measure a setting against the incumbent; None where it can't be trained with, which is recorded.

        Args:
            stage: Part of the race.
            setting: The challenger's.
            objection: Asked about a challenger that is faster: why it is not kept nevertheless.
            may_adopt: A challenger that is kept becomes the incumbent.
            is_proven: Its parts were faster for certain, each alone: together they need only be no slower.
        """
        began = self._clock()
        try:
            challenger = self.arena.enter(dict(setting))
        except ContestantLostError as error:
            self._lose(stage, setting, error, began=began)
            return None
        finish: Finish | None = None
        try:
            if (hopeless := self._why_hopeless(challenger)) is not None:
                changes = self._changes(setting)
                self.heats.over(stage, challenger, changes=changes, verdict="rejected", reason=hopeless, began=began)
                return None
            comparison = self._compare(challenger, is_decided=is_clear if is_proven else _is_settled)
            is_faster = comparison.verdict == "faster" or (is_proven and comparison.ratio > 1)
            against = objection(self.incumbent, challenger, comparison) if is_faster and objection else None
            finish = Finish(dict(setting), comparison, is_kept=is_faster and against is None)
            self.heats.over(
                stage,
                challenger,
                changes=self._changes(setting),
                verdict="kept" if finish.is_kept else "rejected",
                reason=against or _words(comparison, is_kept=is_faster),
                began=began,
                comparison=comparison,
            )
        except ContestantLostError as error:
            challenger.retire()
            self._lose(stage, setting, error, began=began)
            finish = None
        finally:
            if finish is None or not (may_adopt and finish.is_kept):
                challenger.retire()
        if finish is not None and may_adopt and finish.is_kept:
            self.incumbent.retire()
            self.incumbent = challenger
        return finish

    def adopt_at_first_sight(self, setting: Mapping[str, Scalar]) -> bool:
        """Make a setting the incumbent if two looks agree that it is faster by far; whether they do.

        The confirmation at the end is all the proof that it gets: an incumbent that is slow for a
        reason like this would make everything else slow to measure, and hide it in its noise.
        """
        began = self._clock()
        challenger: Contestant | None = None
        try:
            challenger = self.arena.enter(dict(setting))
            entered = self._clock() - began
            ratios = self._looks(challenger)
        except ContestantLostError as error:
            if challenger is not None:
                challenger.retire()
            self._lose("screen", setting, error, began=began)
            return False
        if min(ratios) < _FASTER_BY_FAR:
            challenger.retire()
            return False
        reason = f"{min(ratios):.1f} times faster at first sight"
        changes = self._changes(setting)
        self.heats.over("screen", challenger, changes=changes, verdict="kept", reason=reason, began=began)
        self.incumbent.retire()
        self.incumbent, self._enter_seconds = challenger, entered
        return True

    def adopt(self, setting: Mapping[str, Scalar]) -> None:
        """Make a setting the incumbent that was measured before.

        Raises:
            ContestantLostError: It can't be trained with after all.
        """
        successor = self.arena.enter(dict(setting))
        self.incumbent.retire()
        self.incumbent = successor

    def _compare(self, challenger: Contestant, *, is_decided: Callable[[Comparison], bool]) -> Comparison:
        return compare(
            self.incumbent,
            challenger,
            quads=self.pace.screen_quads,
            seconds=self.pace.block_seconds,
            min_steps=self.pace.min_steps,
            confidence=self.pace.screen_confidence,
            noise_floor=self.noise_floor,
            is_decided=is_decided,
        )

    def _why_hopeless(self, challenger: Contestant) -> str | None:
        """Why the challenger needs no comparison: what it changes does not take hold, or it is slower by far."""
        in_force = challenger.warmed.in_force
        for name, value in self._changes(challenger.setting).items():
            if value is not None and in_force.get(name, value) != value:
                return f"it does not take hold: {name} is {written(in_force[name])} here"
        slower = [1 / ratio for ratio in self._looks(challenger)]
        return f"{min(slower):.1f} times slower at first sight" if min(slower) >= _SLOWER_BY_FAR else None

    def _looks(self, challenger: Contestant) -> list[float]:
        """The challenger's throughput over the incumbent's in two pairs of short blocks, or one that decides."""
        ratios: list[float] = []
        while len(ratios) < 2 and (not ratios or not 1 / _SLOWER_BY_FAR < ratios[0] < _FASTER_BY_FAR):  # noqa: PLR2004
            costs = [self._block_cost(contestant) for contestant in (self.incumbent, challenger)]
            ratios.append(costs[0] / costs[1])
        return ratios

    def _block_cost(self, contestant: Contestant) -> float:
        block = contestant.run_block(seconds=self.pace.block_seconds / 2, min_steps=self.pace.min_steps)
        return seconds_per_sample(block, contestant.warmed)

    def confirm(
        self,
        stage: Stage,
        against: Mapping[str, Scalar],
        *,
        changes: Mapping[str, Scalar],
        setting: Mapping[str, Scalar] | None = None,
    ) -> Comparison | None:
        """The incumbent's setting over another one's, both on fresh contestants and with more blocks.

        None where one of the two can't be trained with; the incumbent is retired then.

        Args:
            stage: Part of the race.
            against: The other one.
            changes: What the heat is shown by.
            setting: Becomes the incumbent's first, where it is given.
        """
        began = self._clock()
        setting = dict(self.incumbent.setting if setting is None else setting)
        self.incumbent.retire()
        other: Contestant | None = None
        try:
            other = self.arena.enter(dict(against))
            self.incumbent = self.arena.enter(setting)
            comparison = compare(
                other,
                self.incumbent,
                quads=self.pace.confirm_quads,
                seconds=self.pace.block_seconds,
                min_steps=self.pace.min_steps,
                confidence=self.pace.confirm_confidence,
                is_decided=_is_known_well,
            )
        except ContestantLostError as error:
            is_other = other is None or other.is_retired
            self.heats.lost(stage, against if is_other else setting, error, changes=changes, began=began)
            self.incumbent.retire()
            return None
        finally:
            if other is not None:
                other.retire()
        is_kept = comparison.verdict == "faster"
        self.heats.over(
            stage,
            self.incumbent,
            changes=changes,
            verdict="kept" if is_kept else "rejected",
            reason=_words(comparison, is_kept=is_kept),
            began=began,
            comparison=comparison,
        )
        return comparison

    def confirmation_seconds(self, count: int) -> float:
        """About how long so many confirmations will take."""
        return count * (4 * self.pace.confirm_quads * self.block_seconds + 2 * self._enter_seconds)

    @property
    def heat_seconds(self) -> float:
        """About how long the next heat will take: as long as those took that came to an end; 0 before the first."""
        took = [heat.seconds for heat in self.heats.all if heat.gain is not None and heat.stage in {"screen", "stack"}]
        return statistics.fmean(took) if took else 0.0

    def skip(self, stage: Stage, setting: Mapping[str, Scalar], *, reason: str) -> None:
        """Record that a setting was passed over, and why."""
        self.heats.skipped(stage, setting, changes=self._changes(setting), reason=reason)

    def _enter_twin(self) -> Contestant:
        try:
            return self.arena.enter(dict(self.incumbent.setting))
        except ContestantLostError as error:
            raise ContestantLostError(error.kind, f"beside another one with the same setting: {error}") from error

    def _lose(self, stage: Stage, setting: Mapping[str, Scalar], error: ContestantLostError, *, began: float) -> None:
        """Record a challenger that is gone; an incumbent that was lost in its stead enters anew.

        Raises:
            ContestantLostError: It can't.
        """
        if self.incumbent.is_retired:
            error = ContestantLostError(error.kind, f"the setting to beat was lost beside it: {error}")
        self.heats.lost(stage, setting, error, changes=self._changes(setting), began=began)
        if self.incumbent.is_retired:
            self.incumbent = self.arena.enter(dict(self.incumbent.setting))

    def _changes(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return difference(self.incumbent.setting, setting)


def _is_settled(comparison: Comparison) -> bool:
    return is_clear(comparison) or is_out_of_reach(comparison)


def _is_known_well(comparison: Comparison) -> bool:
    """The gain is sure, and more quads would add a digit at most.

    A baseline so slow that its blocks take seconds is not measured for longer than that takes.
    """
    low, high = comparison.interval
    return _is_by_far(comparison) or (comparison.verdict == "faster" and high <= _NARROW * low)


def _is_by_far(comparison: Comparison) -> bool:
    return comparison.interval[0] >= _FASTER_BY_FAR


def _words(comparison: Comparison, *, is_kept: bool) -> str:
    if is_kept and comparison.verdict == "tie":
        return "no slower together"
    match comparison.verdict:
        case "faster":
            return "faster"
        case "slower":
            return "slower"
        case "tie" if is_clear(comparison):
            return "a tie: the setting to beat stays"
        case "tie":
            return "not surely faster: the setting to beat stays"
