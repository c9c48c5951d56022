"""One incumbent and the challengers that it meets: each heat is measured, recorded, and never lost."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from autotune.events import Scalar
from autotune.spec.written import written
from autotune.speed.arena import Arena, Contestant, ContestantLostError
from autotune.speed.comparison import Comparison, compare, is_clear, seconds_per_sample
from autotune.speed.entries import difference
from autotune.speed.measurement import noise_floor
from autotune.speed.pace import Pace
from autotune.speed.result import Gain, Heat, Stage, Surroundings

HeatListener: TypeAlias = Callable[[Heat], None]
Clock: TypeAlias = Callable[[], float]
"""Seconds; a simulation has its own."""


_ASSUMED_FLOOR = 0.03
"""Until the noise is measured: what changes everything is tried before that, for the noise may be its own."""
_BY_FAR = 1.3
"""Slower than the incumbent by this, twice in a row, needs no closer look."""


@dataclass(frozen=True)
class Finish:
    """How a heat ended for a challenger that came to its end."""

    setting: dict[str, Scalar]
    comparison: Comparison
    is_kept: bool


Objection: TypeAlias = Callable[[Contestant, Contestant, Comparison], str | None]
"""Takes the incumbent, a faster challenger and their comparison; says why the challenger is not kept."""


class Track:
    """Where heats are run; holds the incumbent, which stays alive from one heat to the next."""

    def __init__(
        self, arena: Arena, *, baseline: Mapping[str, Scalar], pace: Pace, heard: HeatListener, clock: Clock
    ) -> None:
        """Enter the baseline as the first incumbent.

        Raises:
            ContestantLostError: It can't be trained with.
        """
        self.arena = arena
        self.pace = pace
        self.heats: list[Heat] = []
        self.noise_floor = _ASSUMED_FLOOR
        self.is_floor_known = False
        self._heard = heard
        self._clock = clock
        began = clock()
        self.incumbent: Contestant = arena.enter(dict(baseline))
        self._enter_seconds = clock() - began
        self._block_seconds = pace.block_seconds

    def close(self) -> None:
        """Retire the incumbent."""
        self.incumbent.retire()

    def find_noise_floor(self) -> None:
        """Measure the incumbent against a twin of it: what they differ by is noise."""
        twin = self.arena.enter(dict(self.incumbent.setting))
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
        self._block_seconds = (self._clock() - began) / (4 * self.pace.floor_quads)

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
                self._give_up(stage, challenger, hopeless, began=began)
                return None
            comparison = self._compare(challenger)
            is_faster = comparison.verdict == "faster" or (is_proven and comparison.ratio > 1)
            against = objection(self.incumbent, challenger, comparison) if is_faster and objection else None
            finish = Finish(dict(setting), comparison, is_kept=is_faster and against is None)
            self._tell(
                stage,
                challenger,
                comparison,
                reason=against or _words(comparison, is_kept=is_faster),
                finish=finish,
                began=began,
            )
        except ContestantLostError as error:
            self._lose(stage, setting, error, began=began)
            finish = None
        finally:
            if finish is None or not (may_adopt and finish.is_kept):
                challenger.retire()
        if finish is not None and may_adopt and finish.is_kept:
            self.incumbent.retire()
            self.incumbent = challenger
        return finish

    def adopt(self, setting: Mapping[str, Scalar]) -> None:
        """Make a setting the incumbent that was measured before.

        Raises:
            ContestantLostError: It can't be trained with after all.
        """
        successor = self.arena.enter(dict(setting))
        self.incumbent.retire()
        self.incumbent = successor

    def _compare(self, challenger: Contestant) -> Comparison:
        return compare(
            self.incumbent,
            challenger,
            quads=self.pace.screen_quads,
            seconds=self.pace.block_seconds,
            min_steps=self.pace.min_steps,
            confidence=self.pace.screen_confidence,
            noise_floor=self.noise_floor,
            is_decided=is_clear,
        )

    def _why_hopeless(self, challenger: Contestant) -> str | None:
        """Why the challenger needs no comparison: what it changes does not take hold, or it is slower by far."""
        in_force = challenger.warmed.in_force
        for name, value in self._changes(challenger.setting).items():
            if value is not None and in_force.get(name, value) != value:
                return f"it does not take hold: {name} is {written(in_force[name])} here"
        slowness = self._glance(challenger)
        return None if slowness is None else f"{slowness:.1f} times slower at first sight"

    def _glance(self, challenger: Contestant) -> float | None:
        """How many times slower the challenger is, where two looks agree that it is by far; None where it is not."""
        ratios = []
        for _ in range(2):
            costs = [self._block_cost(contestant) for contestant in (self.incumbent, challenger)]
            ratios.append(costs[1] / costs[0])
            if ratios[-1] < _BY_FAR:
                return None
        return min(ratios)

    def _block_cost(self, contestant: Contestant) -> float:
        block = contestant.run_block(seconds=self.pace.block_seconds / 2, min_steps=self.pace.min_steps)
        return seconds_per_sample(block, contestant.warmed)

    def confirm(
        self, stage: Stage, against: Mapping[str, Scalar], *, changes: Mapping[str, Scalar]
    ) -> Comparison | None:
        """The incumbent's setting over another one's, both on fresh contestants and with more blocks.

        None where the other one can't be trained with. ``changes`` is what the heat is shown by.
        """
        began = self._clock()
        setting = dict(self.incumbent.setting)
        self.incumbent.retire()
        try:
            other = self.arena.enter(dict(against))
        except ContestantLostError as error:
            self._lose(stage, against, error, began=began)
            self.incumbent = self.arena.enter(setting)
            return None
        try:
            self.incumbent = self.arena.enter(setting)
            comparison = compare(
                other,
                self.incumbent,
                quads=self.pace.confirm_quads,
                seconds=self.pace.block_seconds,
                min_steps=self.pace.min_steps,
                confidence=self.pace.confirm_confidence,
            )
        finally:
            other.retire()
        finish = Finish(setting, comparison, is_kept=comparison.verdict == "faster")
        reason = _words(comparison, is_kept=finish.is_kept)
        self._tell(stage, self.incumbent, comparison, reason=reason, finish=finish, began=began, changes=changes)
        return comparison

    def confirmation_seconds(self, count: int) -> float:
        """About how long so many confirmations will take."""
        return count * (4 * self.pace.confirm_quads * self._block_seconds + 2 * self._enter_seconds)

    def skip(self, stage: Stage, setting: Mapping[str, Scalar], *, reason: str) -> None:
        """Record that a setting was passed over, and why."""
        changes = self._changes(setting)
        self._add(Heat(stage=stage, setting=dict(setting), changes=changes, verdict="skipped", reason=reason))

    def _lose(self, stage: Stage, setting: Mapping[str, Scalar], error: ContestantLostError, *, began: float) -> None:
        self._add(
            Heat(
                stage=stage,
                setting=dict(setting),
                changes=self._changes(setting),
                verdict="infeasible",
                reason=f"{error.kind}: {error}",
                seconds=self._clock() - began,
            )
        )

    def _tell(
        self,
        stage: Stage,
        challenger: Contestant,
        comparison: Comparison,
        *,
        reason: str,
        finish: Finish,
        began: float,
        changes: Mapping[str, Scalar] | None = None,
    ) -> None:
        self._add(
            Heat(
                stage=stage,
                setting=finish.setting,
                changes=self._changes(finish.setting) if changes is None else dict(changes),
                verdict="kept" if finish.is_kept else "rejected",
                reason=reason,
                gain=gain_of(comparison),
                samples_per_second=_throughput(comparison, challenger),
                peak_memory_bytes=challenger.warmed.peak_memory_bytes,
                start_seconds=challenger.warmed.start_seconds,
                surroundings=Surroundings.of((*comparison.blocks_a, *comparison.blocks_b)),
                seconds=self._clock() - began,
            )
        )

    def _give_up(self, stage: Stage, challenger: Contestant, reason: str, *, began: float) -> None:
        self._add(
            Heat(
                stage=stage,
                setting=dict(challenger.setting),
                changes=self._changes(challenger.setting),
                verdict="rejected",
                reason=reason,
                peak_memory_bytes=challenger.warmed.peak_memory_bytes,
                start_seconds=challenger.warmed.start_seconds,
                seconds=self._clock() - began,
            )
        )

    def _changes(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return difference(self.incumbent.setting, setting)

    def _add(self, heat: Heat) -> None:
        self.heats.append(heat)
        self._heard(heat)


def _throughput(comparison: Comparison, challenger: Contestant) -> float:
    """Samples per second of the challenger's blocks, the median, epoch starts included."""
    return 1 / statistics.median(seconds_per_sample(block, challenger.warmed) for block in comparison.blocks_b)


def gain_of(comparison: Comparison) -> Gain:
    """The comparison's figures, to keep."""
    low, high = comparison.interval
    return Gain(ratio=comparison.ratio, low=low, high=high, num_quads=comparison.num_quads)


def _words(comparison: Comparison, *, is_kept: bool) -> str:
    if is_kept and comparison.verdict == "tie":
        return "no slower together"
    match comparison.verdict:
        case "faster":
            return "faster"
        case "slower":
            return "slower"
        case "tie":
            return "a tie: the simpler setting stays"
