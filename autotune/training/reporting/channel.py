"""What a trial needs of the pipe to its coordinator."""

from typing import Protocol

from autotune.events import Event, Stop


class Channel(Protocol):
    """The trial's side of the pipe to its coordinator."""

    @property
    def opened_at(self) -> float:
        """When it was opened, by ``time.monotonic()``, plus the seconds that it waited for the trial's turn.

        The process began then, and sets itself up since.
        """

    def send(self, event: Event) -> None:
        """Hand the event over without waiting for the coordinator to read it."""

    @property
    def stop(self) -> Stop | None:
        """The coordinator's wish to stop the trial, or None; read at every step, so that it must cost nothing."""
