"""One piece of work at a time beside the training thread."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial


class Background:
    """Runs a function in a thread of its own; whatever it raises is raised by the next ``wait``.

    A fork of this process waits until the work is over or ``forkable``: the new process, such as a worker of a
    DataLoader, has none of this one's threads, but every lock that one of them held. What the work raised is kept.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._at_work = threading.Lock()
        self._descriptor: int | None = None
        _ALL.add(self)

    def run(self, work: Callable[[], None], *, name: str) -> None:
        """Start the work once the work before it is done, and raise what that raised."""
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
        _CURRENT.background = self
        try:
            with self._at_work:
                work()
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            self._error = error

    @contextmanager
    def rest(self, descriptor: int) -> Iterator[None]:
        """Let a fork happen inside this context, while the work has the file of ``descriptor`` open."""
        self._descriptor = descriptor
        self._at_work.release()
        try:
            yield
        finally:
            self._at_work.acquire()  # waits for a fork that has begun
            self._descriptor = None

    def stop_for_fork(self) -> bool:
        """Hold the work up until the fork is over; returns False where the work itself forks and goes on."""
        return self._thread is not threading.current_thread() and self._at_work.acquire()

    def go_on_after_fork(self, *, is_child: bool) -> None:
        """Let the work go on; a new process closes the work's file, which would else keep its space on the disk."""
        if is_child and self._descriptor is not None:
            _let_go_of_file(self._descriptor)
            self._descriptor = None
        self._at_work.release()


@contextmanager
def forkable(descriptor: int) -> Iterator[None]:
    """Let a fork happen inside this context, which waits for the disk with this file open and holds no lock.

    A new process does not keep the file. Nothing changes where no ``Background`` runs the caller.
    """
    background: Background | None = getattr(_CURRENT, "background", None)
    if background is None:
        yield
        return
    with background.rest(descriptor):
        yield


def _let_go_of_file(descriptor: int) -> None:
    """Close the file, but keep its descriptor's number taken."""
    # A file object still has the number, and would one day close what else had come to it.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor)
    os.close(nothing)


_ALL: weakref.WeakSet[Background] = weakref.WeakSet()
_CURRENT = threading.local()
_stopped: list[Background] = []


def _before_fork() -> None:
    """Hold up the work of every Background of this process."""
    _stopped.extend(background for background in tuple(_ALL) if background.stop_for_fork())


def _after_fork(*, is_child: bool) -> None:
    """Let the work go on that was held up, in the process that forked and in the new one."""
    while _stopped:
        _stopped.pop().go_on_after_fork(is_child=is_child)


if hasattr(os, "register_at_fork"):  # where there is fork: a user's own DataLoader forks behind every back of ours
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, is_child=False),
        after_in_child=partial(_after_fork, is_child=True),
    )
