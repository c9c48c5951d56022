"""What a trial needs of the pipe to its coordinator."""

from typing import Protocol

from autotune.events import Event, Stop


class Channel(Protocol):
    """The trial's side of the pipe to its coordinator."""

    def send(self, event: Event) -> None:
        """Hand the event over; may not wait for the coordinator to read it."""

    @property
    def stop(self) -> Stop | None:
        """What the coordinator asked for, if it did; read at every step, so it must cost nothing."""
