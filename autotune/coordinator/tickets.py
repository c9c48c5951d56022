"""What a ledger hands to a session: trials to run, why one is not run, and what comes of a report."""

from dataclasses import dataclass

from autotune.events import EpochReport
from autotune.recording.rows import TrialRow


@dataclass(frozen=True)
class Refusal:
    """Why a trial is not to be launched: it is known to run out of memory."""

    reason: str
    is_crowded: bool
    """The trial would fit if other processes held nothing of the device: it waits, and is tried."""


@dataclass(frozen=True)
class Ticket:
    """A trial that should run, or runs: its row and what has come from it so far."""

    row: TrialRow
    restarts: int = 0
    """How often it was started again in this start of the study: before a new start something may have been mended."""
    is_adopted: bool = False
    """The trial has run before, and goes on from its checkpoint."""
    refusal: Refusal | None = None
    """Why it is not to be launched now, or ever."""


@dataclass(frozen=True)
class Answer:
    """What comes of a report that was new."""

    ticket: Ticket
    report: EpochReport
    reason_to_stop: str | None
    """Why the trial should stop after this epoch, where the pruner says so."""
