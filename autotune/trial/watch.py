"""Ends a process with its coordinator while it runs code that watches no socket."""

import os
import select
import socket
import sys
import threading
from types import TracebackType
from typing import NoReturn, Self

from autotune.trial.descendants import end_descendants


class EndWithCoordinator:
    """A thread that ends this process, and all below it, when the other end of a socket closes.

    It reads nothing from the socket. The thread has ended when the context is left, since a process that
    forks must have a single thread.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._leaving, self._left = socket.socketpair()
        self._thread = threading.Thread(target=self._watch, name="coordinator watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Closing would do only if the task's code had forked no process that has the socket too.
        self._leaving.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._leaving.close()
        self._left.close()

    def _watch(self) -> None:
        """Wait until the coordinator's end closes, or the context is left."""
        poll = select.poll()
        for end in (self._control, self._left):
            poll.register(end, 0)  # no event asked for: a hang-up is told nevertheless
        if any(descriptor == self._control.fileno() for descriptor, _ in poll.poll()):
            end_everything(0)


def end_everything(status: int) -> NoReturn:
    """Kill every process below this one, and end it."""
    try:
        end_descendants()
        sys.stderr.flush()
    finally:
        os._exit(status)
