"""One trial from its order to its outcome, in the process that trains it."""

from typing import Protocol

from autotune.events import Event, Finished, Stop, TrialOrder
from autotune.training.loading import LoadedTask


class Channel(Protocol):
    """The trial's side of the pipe to its coordinator."""

    def send(self, event: Event) -> None:
        """Hand the event over; may not wait for the coordinator to read it."""

    @property
    def stop(self) -> Stop | None:
        """What the coordinator asked for, if it did; read at every step, so it must cost nothing."""


def run_trial(
    order: TrialOrder, *, task: LoadedTask, channel: Channel, process_started: float | None = None
) -> Finished:
    """Train as ordered, and say how it ended.

    Started, Progress and EpochReports go to the channel; the Finished is returned, not sent,
    so that the caller sends it as its last word. Whatever the task raises becomes an outcome.

    Args:
        order: What to train.
        task: As ``load_task`` gave it; its ``setup`` is run first if nobody did.
        channel: Where events go, and where the wish to stop comes from.
        process_started: ``time.monotonic()`` at the process's first line; now, if left out.
    """
    raise NotImplementedError
