"""When a warm-up is over: its steps take equally long, or enough of them were trained."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_MIN_STEPS = 3
"""A warm-up has so many steps at least; by the last so many of them it is told whether they have settled."""
MAX_STEPS = 30
"""After so many steps a warm-up is over, settled or not."""
_MAX_SECONDS = 20.0
"""So many seconds after its slowest step a warm-up is over, settled or not: that step may have compiled for minutes,
and a CUDA graph is recorded at the second one after it."""
_SETTLED_RATIO = 1.25
"""Steps have settled where the longest of the last ones takes at most so many times as long as the shortest."""


@dataclass(frozen=True)
class StepSeconds:
    """What one step of a warm-up took; the start of a pass over the data is in neither part."""

    wait: float
    """Seconds until its batch came."""
    work: float
    """Seconds from then on until the device was done."""


def has_settled(steps: Sequence[StepSeconds], *, is_recording: bool) -> bool:
    """Whether a warm-up of these steps is over; one that is still to record its step goes on, up to ``MAX_STEPS``."""
    if len(steps) < _MIN_STEPS or (is_recording and len(steps) < MAX_STEPS):
        return False
    slowest = max(range(len(steps)), key=lambda index: steps[index].work)
    seconds = sum(step.wait + step.work for step in steps[slowest + 1 :])
    last = [step.work for step in steps[-_MIN_STEPS:]]
    return len(steps) >= MAX_STEPS or seconds > _MAX_SECONDS or max(last) <= _SETTLED_RATIO * min(last)


def settled_seconds(steps: Sequence[StepSeconds]) -> StepSeconds:
    """What a step takes once they have settled."""
    last = steps[-_MIN_STEPS:]
    return StepSeconds(
        wait=statistics.median(each.wait for each in last), work=statistics.median(each.work for each in last)
    )
