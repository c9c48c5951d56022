"""The coordinator's side of trial processes: launch, listen, stop, end."""

from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, TypeAlias

from autotune.events import Event, Rehearsal, Stop, TrialOrder
from autotune.hardware import TorchFacts

Method: TypeAlias = Literal["fork_server", "spawn"]


@dataclass(frozen=True)
class TrialProcess:
    """A trial process that was launched."""

    number: int
    pid: int
    """Also the id of its process group."""


@dataclass(frozen=True)
class Exited:
    """A trial process is gone, and its process group with it; nothing comes from it any more."""

    status: int
    """Its exit status; 128 + the signal's number where a signal ended it, as a shell says it."""
    signal: int | None
    """The signal that ended it."""


@dataclass(frozen=True)
class Arrival:
    """Something came from a trial process."""

    process: TrialProcess
    event: Event | Exited


class Launcher:
    """Starts trial processes of one task and hears them; a context manager."""

    @classmethod
    def start(cls, task: str, *, method: Method | None = None) -> Self:
        """Import the task and set it up where trials will start from; the system's best method if None.

        Raises:
            TaskError: the task can't be found, imported or set up.
            ForkServerError: the process that starts trials has ended.
        """
        raise NotImplementedError

    @property
    def facts(self) -> TorchFacts:
        """What torch answers in a trial's process."""
        raise NotImplementedError

    def rehearse(self, order: TrialOrder, *, timeout: float = 120.0) -> Rehearsal:
        """Take one small batch through the task, in a process like a trial's.

        Raises TaskError when the task raises, crashes or hangs.
        """
        raise NotImplementedError

    def launch(self, order: TrialOrder) -> TrialProcess:
        """Start a trial; its events arrive at ``wait``."""
        raise NotImplementedError

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        """Tell a trial to stop at its next step boundary; nothing happens if it is gone."""
        raise NotImplementedError

    def kill(self, process: TrialProcess, *, grace_seconds: float = 5.0) -> None:
        """End a trial's process group: SIGTERM now, SIGKILL after the grace. Returns at once; ``wait`` sees to it."""
        raise NotImplementedError

    def wait(self, timeout: float) -> list[Arrival]:
        """What has arrived, in order, as soon as there is any; empty at the timeout or after ``wake``."""
        raise NotImplementedError

    def wake(self) -> None:
        """End a running or the next ``wait``; safe in a signal handler and from another thread."""
        raise NotImplementedError

    def close(self) -> None:
        """End every trial at once and the process that they start from."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
