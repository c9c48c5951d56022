"""How a trial ended whose process has exited: as its last word says, else as the process's end tells."""

import signal

from autotune.events import Finished, Outcome, Stop
from autotune.shortages import HOST_MEMORY, Shortage
from autotune.trial.launcher import Exited
from autotune.trial.oom_killer import OomWatch
from autotune.trial.starter import signal_name

MAX_RESTARTS = 3
"""How often a trial whose process was killed is started again in one start of the study; then it has failed."""
MAX_OOM_RESTARTS = 1
"""How often a trial that the kernel killed for memory is started again once it is alone: others may have filled the
memory once, but not again."""
_DUMPED = {getattr(signal, name, None) for name in ("SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS", "SIGILL")}
"""Signals at which Python's fault handler writes the stacks of all threads to the log."""
_LOG = "`autotune study logs` shows"
"""Without the trial's number, so that trials that ended alike have one reason."""


class Exits:
    """Explains the ends of processes, one after the other, beside the kernel's count of those that it killed.

    Args:
        oom_watch: Reads that count; the system's own if None.
    """

    def __init__(self, oom_watch: OomWatch | None = None) -> None:
        self._oom_watch = OomWatch() if oom_watch is None else oom_watch

    def explain(
        self,
        exited: Exited,
        *,
        last_word: Finished | None,
        stop: Stop | None,
        overdue: str | None,
        restarts: int,
        has_company: bool = False,
    ) -> Finished:
        """What to record of a trial; where it is interrupted, another process can go on.

        Args:
            exited: The end of its process.
            last_word: What the process told before, if it came to that.
            stop: What it was told.
            overdue: Why it was killed, where the coordinator did that.
            restarts: How often the trial was started again in this start of the study.
            has_company: Other trials trained on its device: what ran out may be theirs.
        """
        if last_word is None:
            if stop is not None:
                return Finished(outcome=stop.outcome, reason=stop.reason)
            if overdue is not None:
                return Finished(outcome=Outcome.TIMED_OUT, reason=overdue)
            return self._without_a_word(exited, restarts=restarts, has_company=has_company)
        if last_word.is_killed_worker and self._oom_watch.has_killed():
            return _out_of_memory("a DataLoader worker", restarts=restarts, has_company=has_company)
        return last_word

    def _without_a_word(self, exited: Exited, *, restarts: int, has_company: bool) -> Finished:
        """What a process that told nothing of its end died of, by its signal or status, and the kernel's count."""
        is_killed = exited.signal == signal.SIGKILL
        if is_killed and self._oom_watch.has_killed():
            return _out_of_memory("its process", restarts=restarts, has_company=has_company)
        if is_killed:
            return Finished(outcome=Outcome.INTERRUPTED, reason=end_in_words(exited))
        shown = "where each of its threads was" if exited.signal in _DUMPED else "what it wrote last"
        return Finished(outcome=Outcome.FAILED, reason=f"{end_in_words(exited)}; {_LOG} {shown}")


def end_in_words(exited: Exited) -> str:
    """The end of a process that told nothing of it, such as ``its process was killed by SIGSEGV``."""
    if exited.signal is None:
        return f"its process ended with status {exited.status} and without a word"
    return f"its process was killed by {signal_name(exited.signal)}"


def give_up(interrupted: Finished) -> Finished:
    """The end of a trial that was interrupted once more than it may be.

    It has failed; where its DataLoader workers were killed it is infeasible, for memory is what mostly kills them, even
    where the kernel's count does not show it.
    """
    reason = f"{interrupted.reason}, {MAX_RESTARTS + 1} times"
    if interrupted.is_killed_worker:
        remedy = f"{HOST_MEMORY} is the usual reason: use fewer workers, or cache less"
        return _limit(f"{reason}; {remedy}")
    return Finished(outcome=Outcome.FAILED, reason=reason)


def _out_of_memory(victim: str, *, restarts: int, has_company: bool) -> Finished:
    """The end of a trial that the kernel killed for memory: interrupted, until that happens again while it is alone."""
    what = f"the kernel killed {victim}, since {HOST_MEMORY} ran out"
    if has_company or restarts < MAX_OOM_RESTARTS:
        return Finished(outcome=Outcome.INTERRUPTED, reason=what, is_crowded=has_company)
    reason = f"{what}, {restarts + 1} times; use fewer workers, a smaller batch, or cache less"
    return _limit(reason)


def _limit(reason: str) -> Finished:
    """The trial is too large for the host's memory, from which later trials learn."""
    return Finished(outcome=Outcome.INFEASIBLE, reason=reason, is_out_of_memory=True, shortage="host")


def shortage_of(reason: str | None, *, is_out_of_memory: bool) -> Shortage | None:
    """Whose memory a trial's size was too much for, by what is recorded of it; None where it teaches nothing of that.

    The host's where the kernel killed it. An error of the host's memory beside a GPU teaches nothing: the trial was
    not tried alone, and who else held that memory is not known.
    """
    if not is_out_of_memory:
        return None
    return "host" if reason is not None and HOST_MEMORY in reason else "device"
