"""One piece of work at a time beside the training thread."""

import os
import threading
import weakref
from collections.abc import Callable


class Background:
    """Runs a function in a thread of its own; whatever it raises is raised by the next ``wait``.

    A fork of this process waits for the work, and keeps what it raised: the new process, such as a
    worker of a DataLoader, has none of its threads, but every lock that one of them held.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        _ALL.add(self)

    def run(self, work: Callable[[], None], *, name: str) -> None:
        """Start the work, when that before it is done."""
        self.wait()
        # A thread a call: starting one takes 0.1 ms, and nothing is left to be shut down. A daemon,
        # since a process that is to end at once must not wait for a disk.
        self._thread = threading.Thread(target=self._carry_out, args=(work,), name=name, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the work, and raise what it raised."""
        self.join()
        error, self._error = self._error, None
        if error is not None:
            raise error

    def join(self) -> None:
        """Wait for the work, and keep what it raised."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _carry_out(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            self._error = error


_ALL: weakref.WeakSet[Background] = weakref.WeakSet()


def _join_all() -> None:
    for background in tuple(_ALL):
        background.join()


if hasattr(os, "register_at_fork"):  # where there is fork: a user's own DataLoader forks behind every back of ours
    os.register_at_fork(before=_join_all)
