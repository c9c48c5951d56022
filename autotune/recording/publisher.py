"""Recorded rows to MLflow, in a thread of its own: nothing ever waits for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishState:
    """What the publisher has to say."""

    num_waiting: int
    """Rows that MLflow has not got."""
    error: str | None
    """One line: why the last attempt failed; None when it did not."""


class Publisher:
    """Delivers one study's rows to MLflow; what can't be delivered now is delivered later."""

    def __init__(self, storage: str, *, study: str, tracking_uri: str) -> None:
        self._storage = storage
        self._study = study
        self._tracking_uri = tracking_uri

    def start(self) -> None:
        """Start the thread; it delivers first what earlier starts left."""
        raise NotImplementedError

    def notify(self) -> None:
        """Something was recorded; returns at once."""
        raise NotImplementedError

    @property
    def state(self) -> PublishState:
        """The last round's state; reads no database."""
        raise NotImplementedError

    def close(self, *, timeout: float) -> PublishState:
        """Deliver what waits, for at most ``timeout`` seconds, and end the thread."""
        raise NotImplementedError
