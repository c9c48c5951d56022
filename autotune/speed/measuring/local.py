"""Contestants in this process: a function of one's own, called step by step.

For what needs no process of its own: comparing two ways to write a step, a race over settings
that can't take the process down. The functions share one process, so what one of them leaves
running (threads, a loader's workers) takes its time from the other.
"""

import math
import operator
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import SupportsIndex, TypeAlias, TypeVar

from autotune.errors import InputError
from autotune.events import Block, Feed, Scalar, Warmed
from autotune.hardware import peak_process_bytes, read_cpu_clock_mhz, read_load
from autotune.shortages import is_out_of_memory
from autotune.speed.measuring.arena import Contestant, ContestantLostError

Step: TypeAlias = Callable[[], int | None]
"""Trains one step and returns the samples that it took; None counts as one."""

_Result = TypeVar("_Result")

_WARM_BLOCK_SECONDS = 0.02
_SETTLED_BLOCKS = 3
_SETTLED_WITHIN = 1.25
"""Steps have settled where the last short blocks differ by at most a quarter of a step's time."""
_MOST_WARM_BLOCKS = 30
_MOST_WARM_SECONDS = 60.0


def _nothing() -> None:
    """Wait for nothing: a CPU has done a step when the step returns."""


class LocalContestant:
    """A step function, warm from its construction on.

    Args:
        step: Trains one step.
        synchronize: Waits for the device (``torch.cuda.synchronize``); called once a block.
        setting: The speed parameters that the step trains with; for the reader alone.
        clock: Seconds; a test may have its own.
    """

    def __init__(
        self,
        step: Step,
        *,
        synchronize: Callable[[], object] = _nothing,
        setting: Mapping[str, Scalar] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.setting: Mapping[str, Scalar] = dict(setting or {})
        self._step = step
        self._synchronize = synchronize
        self._clock = clock
        self.is_retired = False
        self.warmed = self._warm_up()

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """Train for at least so long and so many steps.

        Raises:
            ContestantLostError: Another feed than the real one is asked for, as a function has its own batches;
                or the step of an arena's contestant raised, which retires it.
        """
        if feed != "real":
            raise ContestantLostError(
                "unsupported", f"feed: a step function brings its own batches, got {feed}; compare real blocks"
            )
        assert not self.is_retired
        load = read_load()
        try:
            steps, samples, elapsed = self._train(seconds=seconds, min_steps=min_steps)
        except ContestantLostError:
            self.retire()
            raise
        return Block(
            feed=feed,
            steps=steps,
            samples=samples,
            seconds=elapsed,
            data_wait_seconds=0.0,
            copy_seconds=0.0,
            compute_seconds=elapsed,
            optimizer_seconds=None,
            peak_memory_bytes=peak_process_bytes(),
            load=load,
            clock_mhz=read_cpu_clock_mhz(),
        )

    def retire(self) -> None:
        """Let the step function go, with all that it holds."""
        self.is_retired = True
        self._step = _retired

    def _train(self, *, seconds: float, min_steps: int) -> tuple[int, int, float]:
        """Train for at least so long and so many steps; the steps, their samples, and the seconds."""
        self._synchronize()
        steps = samples = 0
        began = now = self._clock()
        while steps < min_steps or now - began < seconds:
            taken = self._step()
            samples += taken if type(taken) is int else _count(taken)
            steps += 1
            now = self._clock()
        self._synchronize()
        if samples < 1:
            raise InputError(
                f"step: a block needs samples, got {samples} from {steps} steps; return the batch size, or nothing"
            )
        return steps, samples, self._clock() - began

    def _warm_up(self) -> Warmed:
        """Train short blocks until their steps have settled; what that took beyond settled steps is the start."""
        step_seconds: list[float] = []
        all_steps, began = 0, self._clock()
        while len(step_seconds) < _MOST_WARM_BLOCKS and self._clock() - began < _MOST_WARM_SECONDS:
            steps, _, seconds = self._train(seconds=_WARM_BLOCK_SECONDS, min_steps=1)
            all_steps += steps
            step_seconds.append(seconds / steps)
            last = step_seconds[-_SETTLED_BLOCKS:]
            if len(last) == _SETTLED_BLOCKS and max(last) <= _SETTLED_WITHIN * min(last):
                break
        settled = statistics.median(step_seconds[-_SETTLED_BLOCKS:])
        return Warmed(
            in_force=dict(self.setting),
            device="this process",
            start_seconds=max(0.0, self._clock() - began - all_steps * settled),
            epoch_start_seconds=0.0,
            steps_per_epoch=None,
            peak_memory_bytes=peak_process_bytes(),
        )


class LocalArena:
    """Contestants from a function that makes the step of a setting; what either raises loses the contestant.

    There is one feed, the real one: a function brings its own batches.

    Args:
        make_step: The step function of a setting.
        synchronize: Waits for the device (``torch.cuda.synchronize``).
        clock: Seconds; a test may have its own.
    """

    def __init__(
        self,
        make_step: Callable[[Mapping[str, Scalar]], Step],
        *,
        synchronize: Callable[[], object] = _nothing,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._make_step = make_step
        self._synchronize = synchronize
        self._clock = clock

    def enter(
        self, setting: Mapping[str, Scalar], *, seed: int = 0, limit_seconds: float = math.inf
    ) -> LocalContestant:
        """The contestant of this setting, warm.

        A seed is left to ``make_step``. The start is a call of this process, which no limit breaks off.

        Raises:
            ContestantLostError: The step can't be made, or can't be called.
        """
        del seed, limit_seconds
        step = _losing(lambda: self._make_step(setting))()
        return LocalContestant(_losing(step), synchronize=self._synchronize, setting=setting, clock=self._clock)


def as_contestant(either: Contestant | Step) -> Contestant:
    """The contestant itself; a step function as a contestant that is warm."""
    return LocalContestant(either) if callable(either) else either


def _count(taken: object) -> int:
    """The samples that a step says it took.

    Raises:
        InputError: It returned something else, such as its loss, which must not be added up as samples.
    """
    if taken is None:
        return 1
    if isinstance(taken, SupportsIndex) and not isinstance(taken, bool):
        with suppress(TypeError):  # a tensor has __index__, whatever it holds
            return operator.index(taken)
    got = type(taken).__name__
    raise InputError(f"step: must return its samples, a whole number, got a {got}; return the batch size, or nothing")


def _losing(call: Callable[[], _Result]) -> Callable[[], _Result]:
    """The call, with its errors told as the loss of a contestant; a program of the user's may raise anything."""

    def calling() -> _Result:
        try:
            return call()
        except ContestantLostError:
            raise
        except Exception as error:
            name = type(error).__name__
            first_line = next(iter(str(error).splitlines()), "")
            raise ContestantLostError(
                "out of memory" if is_out_of_memory(error) else "crashed", f"{name}: {first_line}".removesuffix(": ")
            ) from error

    return calling


def _retired() -> int | None:
    raise AssertionError
