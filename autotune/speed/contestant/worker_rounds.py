"""What a loader's workers do to the length of a block, and to its beginning.

Workers hand over their batches one after the other, and tend to do so together: after a round of one batch each they
are all at work. A block of half a round shows a loop that never waits, the next one a loop that only waits. So a block
ends with a whole round where that does not take too long.

Between two blocks workers are stopped. What they wait for meanwhile, such as a disk far away, comes all the same: each
has its batch at once when it goes on, which no training without pauses has. So where workers mostly wait, a round of
steps comes before each block and is not timed. Of workers that compute nothing is ready after a pause that was not
before it, and the round is left out.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from autotune.hardware import usable_cores
from autotune.speed.measuring.arena import LONGEST_BLOCK

_WAITS = 0.05
"""Share of a block in which the loop waits for data below which it does not matter how it comes."""
_COMPUTES = 0.5
"""Share of the time that workers could compute in from which on they do little else."""


@dataclass(frozen=True)
class Moment:
    """What the workers of this process have done until now."""

    at: float
    """Seconds, by a clock that only goes on."""
    num_workers: int
    """Workers that live."""
    cpu_seconds: float | None
    """What all of them have computed for since they were started; None where nobody knows."""


def now() -> Moment:
    """This moment; what workers computed is not known where there are none, or one ends meanwhile."""
    pids, spent = [child.pid for child in multiprocessing.active_children()], 0.0
    try:
        for pid in pids:
            times = psutil.Process(pid).cpu_times()
            spent += times.user + times.system
    except psutil.Error:
        return Moment(time.perf_counter(), len(pids), None)
    return Moment(time.perf_counter(), len(pids), spent if pids else None)


class WorkerRounds:
    """The rounds of the workers that feed one contestant; of no workers, none.

    Args:
        look: Tells what its workers have done until now.
    """

    def __init__(self, look: Callable[[], Moment] = now) -> None:
        self._look = look
        self._mostly_waits = True
        """The workers' time is mostly spent on something other than computing, as far as is known."""
        self._began: Moment | None = None

    def steps_before(self, num_workers: int) -> int:
        """Steps to train before a block, which it leaves out."""
        return num_workers if self._mostly_waits else 0

    def may_go_on(self, *, seconds: float, least: float) -> bool:
        """Whether a round that is not whole yet may take another step.

        Args:
            seconds: What the block has taken so far, or the round before it.
            least: What the block is to take at least.
        """
        return seconds < LONGEST_BLOCK * least

    def begin(self) -> None:
        """A block begins."""
        self._began = self._look()

    def end(self, *, seconds: float, wait_seconds: float) -> None:
        """A block ends; learn from it what the workers' time is spent on.

        Args:
            seconds: What the block took.
            wait_seconds: The part of it in which the loop waited for data.
        """
        before, after = self._began, self._look()
        if before is None or before.cpu_seconds is None or after.cpu_seconds is None:
            return
        could = (after.at - before.at) * min(after.num_workers, len(usable_cores()))
        is_computing = after.cpu_seconds - before.cpu_seconds >= _COMPUTES * could
        self._mostly_waits = wait_seconds > _WAITS * seconds and not is_computing
