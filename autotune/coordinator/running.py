"""A session's running trials: the process, the lease and the state of each, and what is done to them."""

from dataclasses import dataclass
from typing import Protocol

from autotune.coordinator.deadlines import Pulse, overdue
from autotune.coordinator.tickets import Ticket
from autotune.events import Finished, Stop, TrialOrder
from autotune.spec.model import Deadlines
from autotune.trial.launcher import Arrival, TrialProcess
from autotune.trial.leases import Lease, Place


class Trials(Protocol):
    """The part of a launcher that a session uses, so that a simulation can stand in for it."""

    def launch(self, order: TrialOrder) -> TrialProcess:
        """Start a trial."""

    def launch_ahead(self, order: TrialOrder) -> TrialProcess:
        """Start a process of a trial whose turn has not come: it says OnStandby, and waits for ``begin``."""

    def begin(self, process: TrialProcess, *, order: TrialOrder) -> None:
        """Tell a process that was launched ahead that its trial's turn has come, and the trial's parameters."""

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
    setup_seconds: float | None = None
    """What its process took to set itself up, until it asked for its first batch; None before."""
    epochs_before: int = 0
    """Epochs that earlier processes of the trial trained; their reports come again."""
    stop: Stop | None = None
    """What the trial was told, once; None while nothing stops it."""
    overdue: str | None = None
    """Why the trial is being ended for a missed deadline; None while it is in time."""
    finished: Finished | None = None
    """The process's last word; None until it has come."""


class RunningTrials:
    """The trials of a session that run, each with one process. They are told to stop, and are killed, through this.

    Args:
        launcher: Reaches their processes.
    """

    def __init__(self, launcher: Trials) -> None:
        self._launcher = launcher
        self._by_number: dict[int, Running] = {}

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def places(self) -> frozenset[Place]:
        """The devices that trials run on."""
        return frozenset(running.lease.place for running in self._by_number.values())

    @property
    def places_of_one(self) -> frozenset[Place]:
        """The devices that a trial keeps to itself."""
        return frozenset(running.lease.place for running in self._by_number.values() if running.is_alone)

    @property
    def lone(self) -> Running | None:
        """The trial that runs, where there is exactly one."""
        return next(iter(self._by_number.values())) if len(self._by_number) == 1 else None

    def on(self, place: Place) -> list[Running]:
        """The trials that run on this device."""
        return [running for running in self._by_number.values() if running.lease.place == place]

    def add(self, ticket: Ticket, process: TrialProcess, *, lease: Lease, is_alone: bool, now: float) -> None:
        """A trial runs from ``now`` on; it and those on its device have company from here on."""
        neighbours = self.on(lease.place)
        for neighbour in neighbours:
            neighbour.has_company = True
        pulse = Pulse(launched_at=now, heard_at=now)
        self._by_number[process.number] = Running(
            ticket, process, lease, pulse, is_alone=is_alone, has_company=bool(neighbours)
        )

    def remove(self, running: Running) -> None:
        """Its process is gone."""
        del self._by_number[running.process.number]

    def of_number(self, number: int) -> Running:
        """The trial of that number, which runs."""
        return self._by_number[number]

    def sender(self, arrival: Arrival) -> Running | None:
        """The trial that this came from; None where it came from a process that is gone."""
        running = self._by_number.get(arrival.process.number)
        return running if running is not None and running.process == arrival.process else None

    def stop(self, running: Running, stop: Stop) -> None:
        """Tell a trial to stop, unless it was told before."""
        if running.stop is None:
            running.stop = stop
            self._launcher.send(running.process, stop=stop)

    def stop_all(self, stop: Stop) -> None:
        """Tell all trials to stop that were not told before."""
        for running in self._by_number.values():
            self.stop(running, stop)

    def kill_overdue(self, deadlines: Deadlines, *, now: float) -> None:
        """Kill the trials that have missed a deadline; their logs tell where they hung."""
        for running in self._by_number.values():
            if running.overdue is None and (reason := overdue(running.pulse, deadlines, now=now)) is not None:
                running.overdue = reason
                self._launcher.kill(running.process, is_to_tell_where=True)

    def kill_all(self) -> None:
        """Kill all trials at once, whatever they are doing."""
        for running in self._by_number.values():
            self._launcher.kill(running.process, grace_seconds=0)
