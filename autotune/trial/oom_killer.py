"""The kernel's out-of-memory killer: whether it has killed a process, and which one it should kill first."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from autotune.control_groups import own_groups

_WHOLE_SYSTEM = Path("/proc/vmstat")
_OWN_SCORE = Path("/proc/self/oom_score_adj")
_SCORE = 300
"""A trial's ``oom_score_adj``: thousandths of all memory that the kernel adds to what the trial holds. The fork server
with the task's data may hold more than a trial that has just begun. Chromium gives its pages the same value."""


def be_killed_first() -> None:
    """Let the kernel end this process and its children rather than what they were started by, when memory runs out."""
    with suppress(OSError, ValueError):  # another system, or one that refuses
        if int(_OWN_SCORE.read_text()) < _SCORE:
            _OWN_SCORE.write_text(str(_SCORE))


class OomWatch:
    """Counts what the kernel's out-of-memory killer has done since the last look.

    In a control group of its own (a container, a systemd unit, a Slurm job) the group's counter
    is read, which its neighbours do not move; else the system's.

    Args:
        counters: Files of lines ``NAME COUNT`` that may have an ``oom_kill``; the system's own if None.
    """

    def __init__(self, counters: Sequence[Path] | None = None) -> None:
        self._counters = _find_counters() if counters is None else counters
        self._seen = self._count()

    @property
    def can_tell(self) -> bool:
        """Whether this system counts what the kernel kills."""
        return self._seen is not None

    def has_killed(self) -> bool:
        """It has killed a process since the last call. False where the system does not tell."""
        seen, self._seen = self._seen, self._count()
        return seen is not None and self._seen is not None and self._seen > seen

    def _count(self) -> int | None:
        """The first counter that can be read."""
        for path in self._counters:
            try:
                lines = path.read_text().splitlines()
            except OSError:
                continue
            for name, _, count in (line.partition(" ") for line in lines):
                if name == "oom_kill" and count.isdigit():
                    return int(count)
        return None


def _find_counters() -> tuple[Path, ...]:
    """The files of this process's own control groups, of either version, then the whole system's."""
    return (*(group.kills for group in own_groups()), _WHOLE_SYSTEM)
