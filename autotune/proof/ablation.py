"""What each difference between winner and baseline is worth: the winner trained without it, on fresh seeds.

Of six changes that do nothing, independent intervals of 95 % each would call one different in
1 - 0.95^6 = 26 of 100 ablations. So the intervals of the changes are simultaneous: each is as
sure as it takes for all of them to hold together (Bonferroni). A change's interval then says the same as
whether it is sure, which Holm's steps, a little more powerful, would not.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from autotune.proof.quantities import CONFIDENCE
from autotune.proof.resolution import step_of
from autotune.proof.statistics import LEAST_VALUES, Interval, difference_of_means

Values = Sequence[float | None]
"""The objective's value of each training; None where it gave none."""


class Part(BaseModel):
    """One change, or several that are made together, and the winner's loss without it.

    In JSON what is infinite or no number is null.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    """Parameters that were set back to the baseline's values; all of them for the whole change."""
    num_trainings: int
    num_failed: int
    """They gave no value: they failed, or never came to the target."""
    without: float | None
    """Mean of the objective with the change set back; None where no training gave a value."""
    gain: float | None
    """The winner's mean minus that, in the objective's unit."""
    low: float
    """End of the gain's interval, which is infinite below three values a side; a change's holds with all others'."""
    high: float
    share: float | None
    """Of what all changes together gain; None where that is not sure, or a mean lacks trainings that gave no value."""
    is_sure: bool
    """The interval leaves out that the change does nothing, and no training that gave no value speaks against that."""


class Ablation(BaseModel):
    """What trainings of the winner with each change set back say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    """The first objective's."""
    winner: int
    """Trial number in the search."""
    num_trainings: int
    """Of the winner itself, beside the others."""
    num_failed: int = 0
    """Of them, those that gave no value."""
    value: float | None
    """Its mean."""
    whole: Part
    """All changes together: the winner against the baseline."""
    parts: tuple[Part, ...]
    """The most useful first, and before them those without which no training gave a value."""
    confidence: float = CONFIDENCE
    """That the intervals of all parts hold together; that of the whole by itself."""

    def part_of(self, name: str) -> Part | None:
        """The one that a parameter belongs to."""
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
    """The ablation of these trainings.

    Args:
        metric: The first objective's.
        winner: Trial number.
        is_more_better: Of the objective.
        values: Of the winner.
        baseline: Of the baseline, which has none of the changes.
        without: Of the winner with these parameters set back.
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
    # What gave no value is missing in its side's mean, which is too good then: no evidence against the other side.
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
