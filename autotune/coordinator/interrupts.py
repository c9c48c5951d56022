"""SIGINT and SIGTERM as requests to stop: the first signal stops cleanly, the second at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts the signals that ask this process to stop, while it is entered.

    Handlers only count and wake the loop: what follows happens where the loop looks, so that a
    database transaction is never cut in two. Only the main thread may enter it.
    """

    def __init__(self) -> None:
        self._count = 0
        self._wake: Callable[[], None] | None = None
        self._previous: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    @property
    def should_stop(self) -> bool:
        """One signal has come: launch nothing more, let the trials write their checkpoints."""
        return self._count > 0

    @property
    def should_stop_at_once(self) -> bool:
        """A second signal has come, or one while nothing had to be finished: end everything now."""
        return self._count > 1

    def wake_with(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` (safe in a signal handler) at every signal from now on."""
        self._wake = wake

    def count_one(self) -> None:
        """Only count the next signal, and raise KeyboardInterrupt at one more: what is done now is short, and harmless.

        It is for showing what was found, which the first signal must not lose and the second must end.
        """
        self.wake_with(self._raise_if_at_once)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """A signal raises KeyboardInterrupt inside of the context, where nothing is done that must be finished.

        Where everything is to end at once already, that is raised in place of entering it.
        """
        if self.should_stop_at_once:
            raise KeyboardInterrupt
        wake, self._wake = self._wake, None
        try:
            yield
        finally:
            self._wake = wake

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._count += 1
        if self._wake is None:  # setting up, or closing: there is nothing to finish
            self._count = max(self._count, 2)
            raise KeyboardInterrupt
        self._wake()

    def _raise_if_at_once(self) -> None:
        if self.should_stop_at_once:
            raise KeyboardInterrupt
