"""Contestants of a race as processes: each trains with one setting, and may die of it."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from autotune.events import Block, Feed, Finished, Outcome, RunBlock, Scalar, TrialOrder, Warmed
from autotune.outages import undisturbed_seconds
from autotune.speed.measuring.arena import ContestantLostError, Loss
from autotune.trial.launcher import Launcher
from autotune.trial.link import Link
from autotune.trial.oom_killer import OomWatch

_WAIT_SECONDS = 0.2
_END_SECONDS = 10.0
_MANY_EPOCHS = 10_000
"""Times its epochs that a training has whose own end came before its race's."""
_MANY_STARTS = 5
"""A start that takes this many times as long as the longest start before it hangs, unless its setting is known to be
slow."""


@dataclass(frozen=True)
class Limits:
    """How long a contestant may take before it hangs."""

    warm_seconds: float = 120.0
    """Limit from a contestant's start until it is ready for its first block."""
    block_seconds: float = 120.0
    """Limit for one block, on top of the length that was asked for."""
    patience_seconds: float | None = None
    """Both limits are reduced to this once a contestant was ready, so that a hanging one costs little time; they stay
    larger where starts take long. None reduces nothing."""
    is_slow_to_start: Callable[[Mapping[str, Scalar]], bool] = lambda _: False
    """Whether a setting's first steps may take far longer than others'; patience does not reduce its start's limit."""

    def of_start(self, setting: Mapping[str, Scalar], *, longest: float | None) -> float:
        """Limit in seconds for a start with this setting; ``longest`` is the longest start so far, in seconds."""
        return self.warm_seconds if self.is_slow_to_start(setting) else self._cut(self.warm_seconds, 0, longest)

    def of_block(self, *, num_steps: int, longest_start: float | None) -> float:
        """Limit in seconds for a block of ``num_steps``; no step takes as long as a start, which includes several."""
        return self._cut(self.block_seconds, num_steps, longest_start)

    def _cut(self, seconds: float, num_steps: int, longest_start: float | None) -> float:
        """The limit, reduced to the patience where a start's length is known."""
        if self.patience_seconds is None or longest_start is None:
            return seconds
        return min(seconds, max(self.patience_seconds, (_MANY_STARTS + num_steps) * longest_start))


class _TooShortError(ContestantLostError):
    """The loop came to its end; with more epochs it might not."""


class ProcessContestant:
    """A process that trains one block when told to, and is stopped with all its workers in between."""

    def __init__(
        self, arena: "ProcessArena", *, setting: Mapping[str, Scalar], seed: int, limit_seconds: float
    ) -> None:
        """Start the process, and wait until it is warm."""
        self._arena = arena
        self._setting = setting
        self._seed = seed
        self._start(limit_seconds)

    def _start(self, limit_seconds: float) -> None:
        """Start the process; where its loop ends in its warm-up, once more with more epochs."""
        arena = self._arena
        self._has_many_epochs = arena.has_many_epochs
        try:
            self._link, self._warmed = arena.start(self._setting, seed=self._seed, limit_seconds=limit_seconds)
        except _TooShortError:
            if self._has_many_epochs:
                raise
            self._start(limit_seconds)

    @property
    def setting(self) -> Mapping[str, Scalar]:
        """The speed parameters that it trains with."""
        return self._setting

    @property
    def warmed(self) -> Warmed:
        """What its start cost, and what is in force."""
        return self._warmed

    @property
    def is_retired(self) -> bool:
        """It was ended, or lost: there is no block to come."""
        return not self._arena.has(self._link)

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """Train for at least so long and so many steps, after a new start where its loop's epochs are used up."""
        order = RunBlock(seconds=seconds, min_steps=min_steps, feed=feed)
        try:
            return self._arena.run_block(self._link, order)
        except _TooShortError:
            if self._has_many_epochs:
                raise
            self._start(math.inf)
            return self._arena.run_block(self._link, order)

    def retire(self) -> None:
        """End it and free what it held; again is harmless."""
        self._arena.retire(self._link)


class ProcessArena:
    """Starts contestants of one workload as processes of a launcher; a context manager.

    While it waits it calls ``on_wait`` at least every 0.2 s; what that raises ends all
    contestants and goes on to the caller.
    """

    def __init__(
        self,
        launcher: Launcher,
        order: TrialOrder,
        *,
        folder: Path,
        complete: Callable[[Mapping[str, Scalar]], Mapping[str, Scalar]] | None = None,
        limits: Limits | None = None,
        on_wait: Callable[[], None] = lambda: None,
        oom_watch: OomWatch | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            launcher: The launcher of the workload's task.
            order: The workload: task, learning parameters, device and cores. Its number is not used.
            folder: Absolute; each contestant has a folder in it, with its log.
            complete: Gives all parameters of a contestant from its setting; if None, the order's with the setting.
            limits: How long it waits for a contestant; the defaults if None.
            on_wait: Called while a contestant is waited for.
            oom_watch: Tells whether the kernel killed a process for want of memory; this system's if None.
        """
        self._launcher = launcher
        self._order = order
        self._folder = folder
        self._complete = complete or (lambda setting: {**order.parameters, **setting})
        self._limits = limits or Limits()
        self._longest_start: float | None = None
        self._on_wait = on_wait
        self._oom_watch = oom_watch or OomWatch()
        self.has_many_epochs = False
        """A training came to its end before its race: contestants have so many epochs from then on that none does. A
        loop that breaks off its passes, or draws from a generator, begins each epoch by itself."""
        # Below the numbers of trials, which count from 0.
        self._numbers = count(-1, -1)
        self._living: list[Link] = []

    def enter(
        self, setting: Mapping[str, Scalar], *, seed: int = 0, limit_seconds: float = math.inf
    ) -> ProcessContestant:
        """A contestant that is warm and stopped; see Arena."""
        return ProcessContestant(self, setting=dict(setting), seed=seed, limit_seconds=limit_seconds)

    def start(self, setting: Mapping[str, Scalar], *, seed: int, limit_seconds: float) -> tuple[Link, Warmed]:
        """Start a process with this setting, and stop it once it is warm; what it said of that."""
        number = next(self._numbers)
        order = self._order.model_copy(
            update={
                "number": number,
                "parameters": dict(self._complete(setting)),
                "seed": seed,
                "epochs": self._order.epochs * (_MANY_EPOCHS if self.has_many_epochs else 1),
                "folder": str(self._folder / f"contestant{-number}"),
            }
        )
        began = undisturbed_seconds()
        link = self._launcher.launch_contestant(order)
        self._living.append(link)
        limit = self._limits.of_start(setting, longest=self._longest_start)
        what = "be ready for its first block"
        if limit_seconds < limit:
            limit, what = limit_seconds, f"{what} in the time that the race has left for a start,"
        answer = self._await(link, seconds=limit, what=what)
        assert isinstance(answer, Warmed), answer
        self._longest_start = max(self._longest_start or 0.0, undisturbed_seconds() - began)
        self._launcher.freeze(link.process)
        return link, answer

    def run_block(self, link: Link, order: RunBlock) -> Block:
        """Let one of the contestants train, and stop it again; see Contestant."""
        self._launcher.thaw(link.process)
        self._launcher.run_block(link, order)
        limit = self._limits.of_block(num_steps=order.min_steps, longest_start=self._longest_start)
        answer = self._await(link, seconds=order.seconds + limit, what="train a block")
        assert isinstance(answer, Block), answer
        self._launcher.freeze(link.process)
        return answer

    def has(self, link: Link) -> bool:
        """The contestant was neither ended nor lost."""
        return link in self._living

    def retire(self, link: Link) -> None:
        """End one of the contestants, and wait until its process is gone; again is harmless."""
        if link in self._living:
            self._living.remove(link)
            self._launcher.kill(link.process, grace_seconds=0)
            deadline = time.monotonic() + _END_SECONDS
            while link.exited is None and time.monotonic() < deadline:
                link.answers.clear()
                self._launcher.hear(link, timeout=_WAIT_SECONDS)

    def close(self) -> None:
        """End all contestants."""
        for link in list(self._living):
            self.retire(link)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _await(self, link: Link, *, seconds: float, what: str) -> Warmed | Block:
        """The contestant's answer; on a timeout or any other end it is retired, and ContestantLostError raised.

        What ``on_wait`` waits for a database is not the contestant's time: what it has said is heard after that.
        """
        deadline = undisturbed_seconds() + seconds
        try:
            while not link.has_news and undisturbed_seconds() < deadline:
                self._launcher.hear(link, timeout=min(_WAIT_SECONDS, max(0.0, deadline - undisturbed_seconds())))
                self._on_wait()
        except BaseException:  # Ctrl-C included: no contestant may train on
            self.close()
            raise
        answer = link.answers.popleft() if link.answers else None
        if isinstance(answer, Warmed | Block):
            return answer
        is_late = not link.has_news and answer is None
        self.retire(link)
        if is_late:
            raise ContestantLostError("hung", f"it must {what} within {seconds:.0f} s, got no end")
        raise self._lost(answer, link=link)

    def _lost(self, finished: Finished | None, *, link: Link) -> ContestantLostError:
        """The error for a contestant that has ended: by its last word, or by its process's end."""
        if finished is not None:
            reason = finished.reason or f"its training ended as {finished.outcome}"
            if finished.is_killed_worker:
                return self._killed(reason)
            if finished.is_too_short:
                self.has_many_epochs = True
                return _TooShortError(_kind(finished), reason)
            # What says nothing of a trial's size says nothing of a workload's.
            limit = finished.shortage if finished.is_out_of_memory else None
            return ContestantLostError(_kind(finished), reason, shortage=limit, traceback=finished.traceback)
        ended = f"its process ended with {link.end_in_words}"
        if link.exited is None or link.exited.signal != signal.SIGKILL:
            return ContestantLostError("crashed", ended)
        return self._killed(ended)

    def _killed(self, ended: str) -> ContestantLostError:
        """The error for a process ended by SIGKILL: out of memory if the kernel's counter has moved, else a crash."""
        if self._oom_watch.has_killed():
            reason = f"{ended}: the kernel killed it, as the host's memory ran out"
            return ContestantLostError("out of memory", reason, shortage="host")
        if self._oom_watch.can_tell:
            return ContestantLostError("crashed", f"{ended}, and not by the kernel for want of memory")
        return ContestantLostError("crashed", f"{ended}, which the kernel sends when memory runs out")


def _kind(finished: Finished) -> Loss:
    """What kind of loss this end is."""
    if finished.outcome is Outcome.INTERRUPTED:  # other processes hold the device's memory
        return "out of memory"
    if finished.outcome is not Outcome.INFEASIBLE:
        return "crashed"
    return "unsupported" if finished.shortage is None else "out of memory"
