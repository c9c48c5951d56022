"""What a trial was worth when it had had so much of a resource, by its reports."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

_HARDLY_MORE = 1.1
"""Times a resource: epochs of one length, on a machine that others use too, end so far from one another."""


@dataclass(frozen=True, order=True)
class Worth:
    """A value at a rung; in order by the value."""

    value: float
    seen: float
    """What the trial had had of the resource by then: the rung's, or more where nothing was known at the rung."""

    def is_comparable_with(self, other: "Worth") -> bool:
        """The other value says something against this one: it did not take more of the resource, or hardly more."""
        return other.seen <= self.seen * _HARDLY_MORE


class Reading(Protocol):
    """Says what a trial was worth at a rung that it has passed."""

    def __call__(self, reports: Mapping[int, float], *, rung: int, next_rung: int) -> Worth | None:
        """Of reports by step, the last of them at the rung or later and no NaN; None where they say nothing."""


def newest(reports: Mapping[int, float], *, rung: int, next_rung: int) -> Worth | None:
    """The last report's value, as Optuna has it: right where every trial reports at every rung, as epochs are."""
    del next_rung
    return Worth(reports[max(reports)], seen=rung)


def between(reports: Mapping[int, float], *, rung: int, next_rung: int) -> Worth | None:
    """The value on the straight line between the reports before and after the rung; at a report its own.

    Before the first report nothing is known of a trial. So that it is compared at its first report
    nevertheless, the last rung that it passed by then has that value, seen when it was. A report
    that is NaN counts as none.
    """
    steps = sorted(step for step, value in reports.items() if not math.isnan(value))
    if rung < steps[0]:
        return Worth(reports[steps[0]], seen=steps[0]) if steps[0] < next_rung else None
    after = bisect_right(steps, rung)
    low = steps[after - 1]
    if low == rung:
        return Worth(reports[low], seen=rung)
    high = steps[after]
    share = (rung - low) / (high - low)
    return Worth((1 - share) * reports[low] + share * reports[high], seen=rung)
