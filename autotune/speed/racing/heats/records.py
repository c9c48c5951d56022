"""The records of a race's heats, made as they end."""

import statistics
from collections.abc import Callable, Mapping
from typing import TypeAlias

from autotune.events import Scalar
from autotune.spec.written import written
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.comparison import Comparison, seconds_per_sample
from autotune.speed.racing.heats.meeting import Looks
from autotune.speed.racing.heats.shared_arena import SharedContestant
from autotune.speed.racing.result import Gain, Heat, HeatStage, Surroundings, Verdict

Clock: TypeAlias = Callable[[], float]
"""Gives seconds; a simulation has its own."""

Changes: TypeAlias = Mapping[str, Scalar]
"""What of a setting differs from what it was tried against."""


class Heats:
    """All heats of one race, in order; whoever watches hears of each."""

    def __init__(self, heard: Callable[[Heat], None], *, clock: Clock) -> None:
        self._heard = heard
        self._clock = clock
        self._all: list[Heat] = []

    @property
    def all(self) -> tuple[Heat, ...]:
        """The heats that are over."""
        return tuple(self._all)

    def has_refused(self, name: str) -> bool:
        """Whether a heat could not be trained with, whatever the value of this knob.

        An ``InfeasibleError`` that begins ``knob:`` speaks of the whole knob, one with ``knob=value:`` of a value.
        """
        return any(f"InfeasibleError: {name}: " in heat.reason for heat in self._all)

    def skipped(self, stage: HeatStage, setting: Mapping[str, Scalar], *, changes: Changes, reason: str) -> None:
        """Record that a setting was passed over."""
        self._add(Heat(stage=stage, setting=dict(setting), changes=dict(changes), verdict="skipped", reason=reason))

    def lost(
        self,
        stage: HeatStage,
        setting: Mapping[str, Scalar],
        error: ContestantLostError,
        *,
        changes: Changes,
        began: float,
    ) -> None:
        """Record that a setting can't be trained with."""
        self._add(
            Heat(
                stage=stage,
                setting=dict(setting),
                changes=dict(changes),
                verdict="infeasible",
                reason=f"{error.kind}: {error}",
                seconds=self._clock() - began,
            )
        )

    def over(
        self,
        stage: HeatStage,
        challenger: SharedContestant,
        *,
        changes: Changes,
        verdict: Verdict,
        reason: str,
        began: float,
        seen: Comparison | Looks | None = None,
        is_in_turns: bool = False,
    ) -> None:
        """Record that a challenger met its opponent, or needed no comparison after two looks, or not even these."""
        comparison = seen if isinstance(seen, Comparison) else None
        blocks = seen.blocks if seen is not None else ()
        self._add(
            Heat(
                stage=stage,
                setting=dict(challenger.setting),
                changes=dict(changes),
                verdict=verdict,
                reason=reason,
                gain=gain_of(comparison) if comparison else None,
                samples_per_second=_throughput(comparison, challenger) if comparison else None,
                peak_memory_bytes=challenger.most_bytes,
                start_seconds=challenger.warmed.start_seconds,
                surroundings=Surroundings.of(blocks) if blocks else None,
                seconds=self._clock() - began,
                is_in_turns=is_in_turns,
            )
        )

    def adopted(
        self,
        challenger: SharedContestant,
        looks: Looks,
        *,
        changes: Changes,
        began: float,
        is_in_turns: bool,
    ) -> None:
        """Record that a challenger was faster by far at first sight, which gives its throughput, but no interval."""
        self._add(
            Heat(
                stage="screen",
                setting=dict(challenger.setting),
                changes=dict(changes),
                verdict="kept",
                reason=f"{min(looks.ratios):.1f} times faster at first sight",
                samples_per_second=looks.samples_per_second,
                peak_memory_bytes=challenger.most_bytes,
                start_seconds=challenger.warmed.start_seconds,
                surroundings=Surroundings.of(looks.blocks),
                seconds=self._clock() - began,
                is_in_turns=is_in_turns,
            )
        )

    def _add(self, heat: Heat) -> None:
        self._all.append(heat)
        self._heard(heat)


def idle_words(name: str, value: Scalar) -> str:
    """Why a change of a knob needs no comparison, where this value is in force instead."""
    return f"it does not take hold: {name} is {written(value)} here"


def gain_of(comparison: Comparison) -> Gain:
    """The comparison's figures, to keep."""
    low, high = comparison.interval
    return Gain(
        ratio=comparison.ratio,
        low=low,
        high=high,
        num_quads=comparison.num_quads,
        is_in_turns=comparison.is_in_turns,
    )


def _throughput(comparison: Comparison, challenger: SharedContestant) -> float:
    """The median of samples per second over the challenger's blocks, epoch starts included."""
    return 1 / statistics.median(seconds_per_sample(block, challenger.warmed) for block in comparison.blocks_b)
