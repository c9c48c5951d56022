"""What is compared of two sides of trainings: the metric, the time to the target, throughput and memory.

In JSON what is infinite or no number is null.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from autotune.goals import PEAK_MEMORY_BYTES, SAMPLES_PER_SECOND, Target
from autotune.proof.resolution import step_of
from autotune.proof.statistics import (
    LEAST_VALUES,
    Interval,
    can_ranks_tell,
    difference_of_means,
    is_deviation_below,
    ratio_of_means,
    ratio_of_medians,
)
from autotune.proof.trainings import Training

CONFIDENCE = 0.95
"""Confidence of an interval where the trainings are looked at once."""
EARLY_CONFIDENCE = 0.99
"""Confidence of a look before all trainings have ended, which may stop the rest."""
LAST_CONFIDENCE = 0.96
"""Confidence of the last look after early ones: together they call equal configurations different in 5 of 100."""
SECONDS_TO_TARGET = "seconds_to_target"
_NEGLIGIBLE = 1.01
"""A ratio of throughput or memory whose interval lies within this factor of 1 counts as no difference."""

Finding: TypeAlias = Literal["better", "worse", "no difference", "too few"]
Side: TypeAlias = Sequence[Training]


class Quantity(BaseModel):
    """What was measured on both sides, and how far they differ in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """``seconds_to_target``, the metric's name, ``samples_per_second`` or ``peak_memory_bytes``."""
    kind: Literal["ratio", "difference"]
    winner: float | None
    """The winner's median for times, else its mean; infinite where half of the trainings missed the target."""
    reference: float | None
    value: float | None
    """Winner over reference, or winner minus reference; NaN where neither reaches the target."""
    low: float
    high: float
    is_more_better: bool
    finding: Finding
    step: float | None = None
    """Smallest step between values that were seen, where a side's values lie closer together than half of it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a verdict is about."""

    study: str
    metric: str
    """The first objective's metric."""
    is_more_better: bool
    compared: str
    """The metric whose final value is compared: the objective's, or the one that reaches its target."""
    is_more_of_compared_better: bool
    target: Target | None
    winner: int
    is_best: bool
    reference: int
    is_against_baseline: bool
    num_wanted: int
    """Trainings a side that were asked for; above ``LEAST_VALUES`` they are also looked at before all have ended."""
    search_value: float | None
    spent_seconds: float
    seen: tuple[float, ...] = ()
    """Other recorded values of the compared metric, which show in which steps it moves."""
    num_winners: int = 1
    """Number of winners compared with the same reference; the more there are, the surer each has to be."""

    def confidence(self, num_rounds: int) -> float:
        """Confidence of each interval after this many trainings a side, corrected for ``num_winners`` (Bonferroni)."""
        alone = CONFIDENCE
        if self.num_wanted > LEAST_VALUES:
            alone = LAST_CONFIDENCE if num_rounds >= self.num_wanted else EARLY_CONFIDENCE
        return 1 - (1 - alone) / self.num_winners

    @property
    def objective_name(self) -> str:
        """The quantity that the study was about."""
        return SECONDS_TO_TARGET if self.target and self.target.objective == self.metric else self.metric


def compare(case: Case, *, winners: Side, references: Side) -> tuple[Quantity, ...]:
    """Every quantity that both sides have, the objective first."""
    confidence = case.confidence(min(len(winners), len(references)))
    found: list[Quantity | None] = [
        _final(case, winners, references, confidence=confidence),
        _time(winners, references, confidence=confidence) if case.target else None,
        compare_throughput(winners, references, confidence=confidence),
        _memory(winners, references, confidence=confidence),
    ]
    known = [quantity for quantity in found if quantity is not None]
    return tuple(sorted(known, key=lambda quantity: quantity.name != case.objective_name))


def compare_throughput(winners: Side, references: Side, *, confidence: float) -> Quantity | None:
    """Samples per second; None where one side has none."""
    one = _positive(training.samples_per_second for training in winners)
    other = _positive(training.samples_per_second for training in references)
    return _ratio(SAMPLES_PER_SECOND, one, other, is_more_better=True, confidence=confidence)


def _final(case: Case, winners: Side, references: Side, *, confidence: float) -> Quantity | None:
    if case.compared in {SAMPLES_PER_SECOND, PEAK_MEMORY_BYTES}:
        return None
    one, other = _finite_finals(winners), _finite_finals(references)
    if not one or not other:
        return None
    step = step_of([*case.seen, *one, *other])
    interval = difference_of_means(one, other, confidence=confidence, least_deviation=step / 2)
    quantity = _quantity(
        case.compared,
        "difference",
        interval,
        sides=(statistics.fmean(one), statistics.fmean(other)),
        is_more_better=case.is_more_of_compared_better,
        is_too_few=min(len(one), len(other)) < LEAST_VALUES,
    )
    is_coarse = any(is_deviation_below(side, step / 2) for side in (one, other))
    return quantity.model_copy(update={"step": step}) if is_coarse else quantity


def _time(winners: Side, references: Side, *, confidence: float) -> Quantity | None:
    one = [training.seconds_to_target for training in winners]
    other = [training.seconds_to_target for training in references]
    if not one or not other:
        return None
    interval = ratio_of_medians(one, other, confidence=confidence)
    has_miss = any(math.isinf(seconds) for seconds in (*one, *other))
    few = min(len(one), len(other)) < LEAST_VALUES
    few = few or (has_miss and not can_ranks_tell(len(one), len(other), confidence=confidence))
    sides = statistics.median(one), statistics.median(other)
    return _quantity(SECONDS_TO_TARGET, "ratio", interval, sides=sides, is_more_better=False, is_too_few=few)


def _memory(winners: Side, references: Side, *, confidence: float) -> Quantity | None:
    one = _positive(training.peak_memory_bytes for training in winners)
    other = _positive(training.peak_memory_bytes for training in references)
    return _ratio(PEAK_MEMORY_BYTES, one, other, is_more_better=False, confidence=confidence)


def _ratio(
    name: str, one: Sequence[float], other: Sequence[float], *, is_more_better: bool, confidence: float
) -> Quantity | None:
    if not one or not other:
        return None
    interval = ratio_of_means(one, other, confidence=confidence)
    sides = statistics.geometric_mean(one), statistics.geometric_mean(other)  # whose ratio this is
    few = min(len(one), len(other)) < LEAST_VALUES
    quantity = _quantity(name, "ratio", interval, sides=sides, is_more_better=is_more_better, is_too_few=few)
    is_negligible = interval.low > 1 / _NEGLIGIBLE and interval.high < _NEGLIGIBLE
    return quantity.model_copy(update={"finding": "no difference"}) if is_negligible and not few else quantity


def _positive(values: Iterable[float | None]) -> list[float]:
    """The values that a ratio can be made of: finite and above 0."""
    return [float(value) for value in values if value is not None and math.isfinite(value) and value > 0]


def _finite_finals(side: Side) -> list[float]:
    return [training.final for training in side if training.final is not None and math.isfinite(training.final)]


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
        # Where ranks decide, both medians may be infinite and the value NaN: the interval's lower end tells the side.
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


def num_failed(side: Side) -> int:
    """Number of trainings that gave nothing to compare: they did not end, or their metric was not finite."""
    return sum(training.is_failed for training in side)


def success_rate(case: Case, side: Side) -> float | None:
    """Share of trainings that reached the target, or their end where there is no target; None for an empty side."""
    if not side:
        return None
    has_target = case.target is not None
    won = [not each.is_failed and not (has_target and math.isinf(each.seconds_to_target)) for each in side]
    return sum(won) / len(side)
