"""The trial's end of the pipe to its coordinator."""

import contextlib
import os
import queue
import select
import signal
import socket
import threading
import time
from types import TracebackType
from typing import Self

from typing_extensions import override

from autotune.events import (
    Block,
    Event,
    Go,
    OnStandby,
    Progress,
    Rehearsal,
    RunBlock,
    Scalar,
    Stop,
    Warmed,
    decode,
    decode_race,
    encode,
)
from autotune.trial.descendants import end_descendants
from autotune.trial.messages import CHUNK_BYTES, LineBuffer

_END_SECONDS = 2.0


class PipeChannel:
    """Sends events without ever waiting for the coordinator, and notices when it wants a stop.

    A thread of its own reads, and writes what the socket would not take at once. When the
    coordinator is gone the thread kills the trial's whole process group, DataLoader workers
    included: no training goes on that nobody records.

    Leaving the context waits until everything is sent.
    """

    def __init__(self, events: socket.socket) -> None:
        self.opened_at = time.monotonic()
        """When it was opened, as the process began, before its task is set up; later by what it waited for its turn."""
        events.settimeout(0)
        self._events = events
        self._lines = LineBuffer()
        self._unsent = bytearray()
        self._lock = threading.Lock()
        self._waking, self._woken = socket.socketpair()
        self._waking.settimeout(0)
        self._stop: Stop | None = None
        self._turns: queue.SimpleQueue[Go] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._attend, name="trial channel", daemon=True)

    @property
    def stop(self) -> Stop | None:
        """What the coordinator asked for, if it did."""
        return self._stop

    def send(self, event: Event | Rehearsal | Warmed | Block) -> None:
        """Hand the event over; progress is dropped while older events wait."""
        with self._lock:
            if self._unsent and isinstance(event, Progress):
                return
            self._unsent += encode(event) + b"\n"
            self._flush()
            is_behind = bool(self._unsent)
        if is_behind:
            # Full means that the thread has a call waiting already.
            with contextlib.suppress(BlockingIOError):
                self._waking.send(b".")

    def await_turn(self, asked: tuple[str, ...] | None) -> dict[str, Scalar]:
        """Tell that the process waits, and wait until it is the trial's turn; gives the trial's parameters.

        Args:
            asked: Names of the parameters on which depends what was set up; None for all.
        """
        began = time.monotonic()
        self.send(OnStandby(asked=asked))
        go = self._turns.get()
        self.opened_at += time.monotonic() - began
        return go.parameters

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        poll = select.poll()
        poll.register(self._events, select.POLLOUT)
        while self._unsent:
            poll.poll()
            with self._lock:
                self._flush()
        # Closing would do only if no process forked from this one had the socket too.
        self._waking.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._waking.close()
        self._woken.close()

    def _flush(self) -> None:
        """Send what the socket takes; the caller holds the lock."""
        try:
            while self._unsent:
                del self._unsent[: self._events.send(self._unsent)]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()  # the reading thread sees the same end, and acts on it

    def _attend(self) -> None:
        """The thread's work: read what the coordinator says, and write what the socket would not take."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        while True:
            poll.register(self._events, select.POLLIN | (select.POLLOUT if self._unsent else 0))
            for descriptor, happened in poll.poll():
                if descriptor == self._woken.fileno():
                    if not self._woken.recv(CHUNK_BYTES):
                        return
                elif happened & select.POLLOUT:
                    with self._lock:
                        self._flush()
                if descriptor == self._events.fileno() and happened & ~select.POLLOUT:
                    self._read()

    def _read(self) -> None:
        """Read what is there; where the coordinator is gone, end everything."""
        try:
            chunk = self._events.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            _end_group()
        for line in self._lines.feed(chunk):
            self._obey(line)

    def _obey(self, line: bytes) -> None:
        """What the coordinator tells; called in the channel's own thread."""
        event = decode(line)
        if isinstance(event, Go):
            self._turns.put(event)
            return
        assert isinstance(event, Stop), event
        self._stop = event


class RaceChannel(PipeChannel):
    """A contestant's end: its training waits for one order after the other."""

    def __init__(self, events: socket.socket) -> None:
        super().__init__(events)
        self._orders: queue.SimpleQueue[RunBlock] = queue.SimpleQueue()

    def next_block(self) -> RunBlock:
        """The next order; waits for it, and takes no time of a core meanwhile."""
        return self._orders.get()

    @override
    def _obey(self, line: bytes) -> None:
        event = decode_race(line)
        assert isinstance(event, RunBlock), event
        self._orders.put(event)


def _end_group() -> None:
    """Kill this process and all below it, in its group or not."""
    try:
        end_descendants(timeout=_END_SECONDS)
    finally:
        os.killpg(0, signal.SIGKILL)
