"""What a session has of its trials: their processes, and how each stands."""

from dataclasses import dataclass
from typing import Protocol

from autotune.coordinator.deadlines import Pulse
from autotune.coordinator.tickets import Ticket
from autotune.events import Finished, Stop, TrialOrder
from autotune.trial.launcher import Arrival, TrialProcess
from autotune.trial.leases import Lease


class Trials(Protocol):
    """What a session needs of a launcher; a simulation has it, too."""

    def launch(self, order: TrialOrder) -> TrialProcess:
        """Start a trial."""

    def wait(self, timeout: float) -> list[Arrival]:
        """What has come from trials, after so many seconds at most."""

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
    """Nothing else is started on its device."""
    has_company: bool
    """Another trial was on its device at some time."""
    stop: Stop | None = None
    overdue: str | None = None
    """Why it is being ended."""
    finished: Finished | None = None
