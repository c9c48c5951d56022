"""A session's running trials: the process, the lease and the state of each."""

from dataclasses import dataclass
from typing import Protocol

from autotune.coordinator.deadlines import Pulse
from autotune.coordinator.tickets import Ticket
from autotune.events import Finished, Stop, TrialOrder
from autotune.trial.launcher import Arrival, TrialProcess
from autotune.trial.leases import Lease


class Trials(Protocol):
    """The part of a launcher that a session uses, so that a simulation can stand in for it."""

    def launch(self, order: TrialOrder) -> TrialProcess:
        """Start a trial."""

    def wait(self, timeout: float) -> list[Arrival]:
        """What has arrived from trials, waiting at most ``timeout`` seconds."""

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        """Tell a trial to stop."""

    def kill(self, process: TrialProcess, *, grace_seconds: float = ..., is_to_tell_where: bool = ...) -> None:
        """End a trial's process group."""


@dataclass
class Running:
    """A trial with its process and its lease."""

    ticket: Ticket
    process: TrialProcess
    lease: Lease
    pulse: Pulse
    is_alone: bool
    """The trial keeps its device to itself: nothing else is started there."""
    has_company: bool
    """Another trial was on the same device at some time during this one."""
    epochs_before: int = 0
    """Epochs that earlier processes of the trial trained; their reports come again."""
    stop: Stop | None = None
    overdue: str | None = None
    """Why the trial is being ended for a missed deadline; None while it is in time."""
    finished: Finished | None = None
