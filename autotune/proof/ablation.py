"""What each difference between winner and baseline is worth: the winner trained without it, on fresh seeds.

Of six changes that do nothing, independent intervals of 95 % each would call one different in
1 - 0.95^6 = 26 of 100 ablations. So the intervals of the changes are simultaneous: each is wide
enough that all of them hold together with 95 % (Bonferroni). A change is then sure exactly if its interval leaves
out 0, which Holm's procedure, a little more powerful, would not give.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from autotune.proof.quantities import CONFIDENCE
from autotune.proof.resolution import step_of
from autotune.proof.statistics import LEAST_VALUES, Interval, difference_of_means

Values = Sequence[float | None]
"""The objective's value of each training; None for a training that gave no value."""


class Part(BaseModel):
    """One change, or several that are made together, and the winner's loss without it.

    In JSON what is infinite or no number is null.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    """Parameters that were set back to the baseline's values; all of them for the whole change."""
    num_trainings: int
    num_failed: int
    """Trainings that gave no value: they failed, or never reached the target."""
    without: float | None
    """Mean of the objective with the change set back; None where no training gave a value."""
    gain: float | None
    """The winner's mean minus ``without``, in the objective's unit; None where either is None."""
    low: float
    """Lower end of the gain's interval, which is infinite with fewer than three values a side. The intervals of all
    changes hold together."""
    high: float
    share: float | None
    """Share of the gain of all changes together; None where that gain is not sure, or a training gave no value."""
    is_sure: bool
    """The interval leaves out 0, and no failed training is missing in the mean of the side that looks better."""


class Ablation(BaseModel):
    """What trainings of the winner with each change set back say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    """The first objective's metric."""
    winner: int
    """Trial number in the search."""
    num_trainings: int
    """Trainings of the winner itself, without those that have a change set back."""
    num_failed: int = 0
    """Trainings of the winner that gave no value."""
    value: float | None
    """The winner's mean; None where no training gave a value."""
    whole: Part
    """All changes together: the winner against the baseline."""
    parts: tuple[Part, ...]
    """One part for each change: first those without which no training gave a value, then by gain, the largest first."""
    confidence: float = CONFIDENCE
    """Probability that the intervals of all parts hold together; that of the whole holds with it by itself."""

    def part_of(self, name: str) -> Part | None:
        """The part that sets this parameter back; None where no part does."""
        return next((part for part in self.parts if name in part.names), None)


def weigh(
    metric: str,
    *,
    winner: int,
    is_more_better: bool,
    values: Values,
    baseline: Values,
    without: Mapping[tuple[str, ...], Values],
) -> Ablation:
    """Weigh each change by what the winner loses without it, with intervals that hold together.

    Args:
        metric: The first objective's metric.
        winner: The winner's trial number.
        is_more_better: Larger values of the metric are better.
        values: The winner's values.
        baseline: The baseline's values: all changes are set back.
        without: The winner's values with one change set back, by the names of its parameters.
    """
    step = step_of(value for side in (values, baseline, *without.values()) for value in _known(side))
    names = tuple(name for each in without for name in each)
    sign = 1 if is_more_better else -1
    whole = _part(names, values, baseline, step=step, confidence=CONFIDENCE, sign=sign)
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(without))
    parts = [
        _with_share(_part(each, values, side, step=step, confidence=confidence, sign=sign), values, whole=whole)
        for each, side in without.items()
    ]
    return Ablation(
        metric=metric,
        winner=winner,
        num_trainings=len(values),
        num_failed=len(values) - len(_known(values)),
        value=_mean(values),
        whole=whole,
        parts=tuple(sorted(parts, key=lambda part: -sign * part.gain if part.gain is not None else -math.inf)),
    )


def _part(
    names: tuple[str, ...], values: Values, without: Values, *, step: float, confidence: float, sign: int
) -> Part:
    one, other = _known(values), _known(without)
    gain: Interval | None = None
    if one and other:
        gain = difference_of_means(one, other, confidence=confidence, least_deviation=step / 2)
    # A failed training is missing in its side's mean, which is then too good to count against the other side.
    is_flattered = len(one) < len(values) if gain is not None and sign * gain.value > 0 else len(other) < len(without)
    return Part(
        names=names,
        num_trainings=len(without),
        num_failed=len(without) - len(other),
        without=_mean(without),
        gain=gain.value if gain is not None else None,
        low=gain.low if gain is not None else -math.inf,
        high=gain.high if gain is not None else math.inf,
        share=None,
        is_sure=gain is not None and gain.is_sure and not is_flattered and min(len(one), len(other)) >= LEAST_VALUES,
    )


def _with_share(part: Part, values: Values, *, whole: Part) -> Part:
    is_complete = len(_known(values)) == len(values) and not part.num_failed and not whole.num_failed
    if part.gain is None or not whole.gain or not whole.is_sure or not is_complete:
        return part
    return part.model_copy(update={"share": part.gain / whole.gain})


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _mean(values: Values) -> float | None:
    known = _known(values)
    return statistics.fmean(known) if known else None
