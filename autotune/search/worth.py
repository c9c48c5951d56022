"""A trial's value at a rung of a resource, read from its reports."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

_HARDLY_MORE = 1.1
"""Up to this factor two amounts of a resource count as equal: epochs of one length end that far apart on a machine
that other programs use."""


@dataclass(frozen=True, order=True)
class Worth:
    """A trial's value at a rung, which is sorted by that value."""

    value: float
    seen: float
    """The amount of the resource at which the value was read: the rung's, or more where nothing was known there."""

    def is_comparable_with(self, other: "Worth") -> bool:
        """Whether the other value may count against this one: it took no more of the resource, or hardly more."""
        return other.seen <= self.seen * _HARDLY_MORE


class Reading(Protocol):
    """Function that gives a trial's value at a rung that it has passed."""

    def __call__(self, reports: Mapping[int, float], *, rung: int, next_rung: int) -> Worth | None:
        """The value at the rung; None where the reports do not tell it.

        The last of the reports, which are by step, is at the rung or later, and is not NaN.
        """


def newest(reports: Mapping[int, float], *, rung: int, next_rung: int) -> Worth | None:
    """The last report's value, as in Optuna: right where every trial reports at every rung, as with epochs."""
    del next_rung
    return Worth(reports[max(reports)], seen=rung)


def between(reports: Mapping[int, float], *, rung: int, next_rung: int) -> Worth | None:
    """The value at the rung, interpolated linearly between the reports before and after it.

    Before its first report nothing is known of a trial. So that the first report is compared as well, it counts
    at the last rung before it, with its own amount of the resource as ``seen``. Reports that are NaN are ignored.
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
