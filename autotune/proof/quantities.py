"""What is compared of two sides of trainings: the metric, the time to the target, throughput and memory."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from autotune.events import Outcome
from autotune.goals import PEAK_MEMORY_BYTES, SAMPLES_PER_SECOND, Target
from autotune.proof.statistics import (
    LEAST_VALUES,
    Interval,
    can_ranks_tell,
    difference_of_means,
    ratio_of_means,
    ratio_of_medians,
)
from autotune.proof.trainings import Training

CONFIDENCE = 0.95
SECONDS_TO_TARGET = "seconds_to_target"

Finding: TypeAlias = Literal["better", "worse", "no difference", "too few"]
Side: TypeAlias = Sequence[Training]


class Quantity(BaseModel):
    """One thing that was compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    name: str
    """``seconds_to_target``, the metric's name, ``samples_per_second`` or ``peak_memory_bytes``."""
    kind: Literal["ratio", "difference"]
    winner: float | None
    """Median of times, mean of all else; infinite where half of the trainings missed the target."""
    reference: float | None
    value: float | None
    """Winner over reference, or winner minus reference; NaN where neither comes to the target."""
    low: float
    high: float
    is_more_better: bool
    finding: Finding


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a verdict is about."""

    study: str
    metric: str
    """The first objective's."""
    is_more_better: bool
    compared: str
    """The metric whose final value is compared: the objective's, or the one that comes to its target."""
    is_more_of_compared_better: bool
    target: Target | None
    winner: int
    is_best: bool
    reference: int
    is_against_baseline: bool
    num_wanted: int
    search_value: float | None
    spent_seconds: float
    num_winners: int = 1
    """Compared with the same reference: each has to be the surer."""

    @property
    def confidence(self) -> float:
        """Of each interval: 95 % for all that are compared with the same reference together (Bonferroni)."""
        return 1 - (1 - CONFIDENCE) / self.num_winners

    @property
    def objective_name(self) -> str:
        """The quantity that the study was about."""
        return SECONDS_TO_TARGET if self.target and self.target.objective == self.metric else self.metric


def compare(case: Case, *, winners: Side, references: Side) -> tuple[Quantity, ...]:
    """All that both sides have, the objective first."""
    confidence = case.confidence
    found: list[Quantity | None] = [
        _final(case, winners, references),
        _time(case, winners, references) if case.target else None,
        compare_throughput(winners, references, confidence=confidence),
        _memory(winners, references, confidence=confidence),
    ]
    known = [quantity for quantity in found if quantity is not None]
    return tuple(sorted(known, key=lambda quantity: quantity.name != case.objective_name))


def compare_throughput(winners: Side, references: Side, *, confidence: float) -> Quantity | None:
    """Samples per second; None where one side has none."""
    one = [training.samples_per_second for training in winners if training.samples_per_second]
    other = [training.samples_per_second for training in references if training.samples_per_second]
    if not one or not other:
        return None
    interval = ratio_of_means(one, other, confidence=confidence)
    sides = statistics.fmean(one), statistics.fmean(other)
    few = min(len(one), len(other)) < LEAST_VALUES
    return _quantity(SAMPLES_PER_SECOND, "ratio", interval, sides=sides, is_more_better=True, is_too_few=few)


def _final(case: Case, winners: Side, references: Side) -> Quantity | None:
    if case.compared in {SAMPLES_PER_SECOND, PEAK_MEMORY_BYTES}:
        return None
    one = [training.final for training in winners if training.final is not None]
    other = [training.final for training in references if training.final is not None]
    if not one or not other:
        return None
    interval = difference_of_means(one, other, confidence=case.confidence)
    sides = statistics.fmean(one), statistics.fmean(other)
    few = min(len(one), len(other)) < LEAST_VALUES
    more = case.is_more_of_compared_better
    return _quantity(case.compared, "difference", interval, sides=sides, is_more_better=more, is_too_few=few)


def _time(case: Case, winners: Side, references: Side) -> Quantity | None:
    one = [training.seconds_to_target for training in winners]
    other = [training.seconds_to_target for training in references]
    if not one or not other:
        return None
    interval = ratio_of_medians(one, other, confidence=case.confidence)
    has_miss = any(math.isinf(seconds) for seconds in (*one, *other))
    few = min(len(one), len(other)) < LEAST_VALUES
    few = few or (has_miss and not can_ranks_tell(len(one), len(other), confidence=case.confidence))
    sides = statistics.median(one), statistics.median(other)
    return _quantity(SECONDS_TO_TARGET, "ratio", interval, sides=sides, is_more_better=False, is_too_few=few)


def _memory(winners: Side, references: Side, *, confidence: float) -> Quantity | None:
    one = [float(training.peak_memory_bytes) for training in winners if training.peak_memory_bytes]
    other = [float(training.peak_memory_bytes) for training in references if training.peak_memory_bytes]
    if not one or not other:
        return None
    interval = ratio_of_means(one, other, confidence=confidence)
    sides = statistics.fmean(one), statistics.fmean(other)
    few = min(len(one), len(other)) < LEAST_VALUES
    return _quantity(PEAK_MEMORY_BYTES, "ratio", interval, sides=sides, is_more_better=False, is_too_few=few)


def _quantity(
    name: str,
    kind: Literal["ratio", "difference"],
    interval: Interval,
    *,
    sides: tuple[float, float],
    is_more_better: bool,
    is_too_few: bool,
) -> Quantity:
    finding: Finding = "too few" if is_too_few else "no difference"
    if interval.is_sure and not is_too_few:
        # Of ranks alone the medians may be equal: then the interval's middle tells no side.
        neutral = 0.0 if kind == "difference" else 1.0
        is_more = interval.value > neutral or (math.isnan(interval.value) and interval.low > neutral)
        finding = "better" if is_more == is_more_better else "worse"
    return Quantity(
        name=name,
        kind=kind,
        winner=sides[0],
        reference=sides[1],
        value=interval.value,
        low=interval.low,
        high=interval.high,
        is_more_better=is_more_better,
        finding=finding,
    )


def success_rate(case: Case, side: Side) -> float | None:
    """Share of trainings that came to the target, or to their end where there is none; None of nothing."""
    if not side:
        return None
    if case.target is None:
        return sum(training.outcome is Outcome.COMPLETE for training in side) / len(side)
    return sum(math.isfinite(training.seconds_to_target) for training in side) / len(side)
