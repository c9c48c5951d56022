"""One piece of work at a time beside the training thread."""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial


class Background:
    """Runs a function in a thread of its own; whatever it raises is raised by the next ``wait``.

    A fork of this process waits for the work, or until it is ``forkable``, and keeps what it raised: the
    new process, such as a worker of a DataLoader, has none of its threads, but every lock that one of them held.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._at_work = threading.Lock()
        self._descriptor: int | None = None
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
        _CURRENT.background = self
        try:
            with self._at_work:
                work()
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits
            self._error = error

    @contextmanager
    def rest(self, descriptor: int) -> Iterator[None]:
        """Let a fork happen meanwhile; see ``forkable``."""
        self._descriptor = descriptor
        self._at_work.release()
        try:
            yield
        finally:
            self._at_work.acquire()  # waits for a fork that has begun
            self._descriptor = None

    def stop_for_fork(self) -> bool:
        """Let the work go no further until the fork is over; false where it is the work that forks."""
        return self._thread is not threading.current_thread() and self._at_work.acquire()

    def go_on_after_fork(self, *, is_child: bool) -> None:
        """Let it go on; a new process has its file no more, whose space would stay taken until both are closed."""
        if is_child and self._descriptor is not None:
            _let_go_of_file(self._descriptor)
            self._descriptor = None
        self._at_work.release()


@contextmanager
def forkable(descriptor: int) -> Iterator[None]:
    """A fork does not wait for what is done inside: for the disk, with this file open and no lock held.

    The new process has the file no more. Outside of a ``Background`` nothing is different.
    """
    background: Background | None = getattr(_CURRENT, "background", None)
    if background is None:
        yield
        return
    with background.rest(descriptor):
        yield


def _let_go_of_file(descriptor: int) -> None:
    # Its number stays taken: a file object has it still, and would one day close what else had come to it.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, descriptor)
    os.close(nothing)


_ALL: weakref.WeakSet[Background] = weakref.WeakSet()
_CURRENT = threading.local()
_stopped: list[Background] = []


def _before_fork() -> None:
    _stopped.extend(background for background in tuple(_ALL) if background.stop_for_fork())


def _after_fork(*, is_child: bool) -> None:
    while _stopped:
        _stopped.pop().go_on_after_fork(is_child=is_child)


if hasattr(os, "register_at_fork"):  # where there is fork: a user's own DataLoader forks behind every back of ours
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, is_child=False),
        after_in_child=partial(_after_fork, is_child=True),
    )
