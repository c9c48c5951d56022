"""Whether a study's first trials all fail alike: then its task is broken, and going on is useless."""

from collections.abc import Iterable

from autotune.events import Outcome
from autotune.recording.rows import TrialRow

NUM_ALIKE_TO_GIVE_UP = 3
"""A study is given up when this many first trials all failed with the same error."""


class FirstFailures:
    """The errors of trials in the order in which they ended, over all starts of a study."""

    def __init__(self) -> None:
        self._reasons: list[str | None] = []

    def load(self, rows: Iterable[TrialRow]) -> None:
        """Replace what was counted by the ended trials among these rows; trials of other studies don't count."""
        self._reasons = []
        for row in rows:
            if row.is_over and row.origin is None:
                self.add(row.outcome, row.reason)

    def add(self, outcome: Outcome | None, reason: str | None) -> None:
        """A trial has ended."""
        self._reasons.append(reason if outcome is Outcome.FAILED else None)

    def reason_to_give_up(self, study: str) -> str | None:
        """Why the study is given up, told once, when exactly the first trials have ended; None where it goes on."""
        first = self._reasons[:NUM_ALIKE_TO_GIVE_UP]
        if len(self._reasons) != NUM_ALIKE_TO_GIVE_UP or first[0] is None or len(set(first)) != 1:
            return None
        rule = f"its first {NUM_ALIKE_TO_GIVE_UP} trials must not all fail alike, got {first[0]}"
        return f"study {study}: {rule}; mend the task, then start the study again"
