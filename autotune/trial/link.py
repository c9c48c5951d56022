"""One trial process as the coordinator holds it: its socket, its log, its end."""

import contextlib
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from autotune.errors import TaskError
from autotune.events import (
    Block,
    Event,
    Finished,
    Go,
    Outcome,
    Rehearsal,
    Scalar,
    Stop,
    Unsaved,
    Warmed,
    decode,
    decode_race,
)
from autotune.trial.log import LogDrain
from autotune.trial.messages import CHUNK_BYTES, LineBuffer, Purpose
from autotune.trial.secrets import conceal, conceal_text
from autotune.trial.starter import describe_end

_SHOWN_BYTES = 60
_SHOWN_LINES = 8
_REHEARSED: TypeAdapter[Rehearsal | Finished] = TypeAdapter(Rehearsal | Finished)


@dataclass(frozen=True)
class TrialProcess:
    """A trial process that was launched."""

    number: int
    pid: int
    """Also the id of its process group."""


@dataclass(frozen=True)
class Exited:
    """A trial process is gone, and its process group with it; nothing comes from it any more."""

    status: int
    """Its exit status; 128 + the signal's number where a signal ended it, as a shell says it."""
    signal: int | None
    """The signal that ended it."""


@dataclass(frozen=True)
class Arrival:
    """Something came from a trial process."""

    process: TrialProcess
    event: Event | Exited


class Link:
    """A running trial process: what it says, what it logs, when it must be gone."""

    def __init__(
        self,
        process: TrialProcess,
        *,
        purpose: Purpose,
        events: socket.socket,
        drain: LogDrain,
        secrets: Mapping[str, Scalar],
    ) -> None:
        """Hear a process that was just started.

        Args:
            process: The process.
            purpose: What it was started for.
            events: This end of its socket.
            drain: Writes its log.
            secrets: Parameters whose values are redacted in every text that it sends.
        """
        events.settimeout(0)
        self.process = process
        self.kill_at: float | None = None
        """When SIGKILL follows, on the monotonic clock."""
        self.exited: Exited | None = None
        self.is_at_end = False
        """Nobody holds the socket's other end any more."""
        self.is_garbled = False
        """Something came that is no event; whatever follows is thrown away."""
        self.purpose = purpose
        self.answers: deque[Warmed | Block | Finished] = deque()
        """Answers of a race's contestant that were not taken yet."""
        self._events = events
        self._drain = drain
        self._secrets = secrets
        self._lines = LineBuffer()
        self._rehearsed: list[bytes] = []
        self._last_lines = ""
        self._log_problem: str | None = None

    def fileno(self) -> int:
        """Readable when an event is there."""
        return self._events.fileno()

    def send(self, text: bytes) -> None:
        """Send one line; nothing happens if the process is gone."""
        if self.exited is not None:
            return
        # A full socket means that the process reads nothing, and has earlier lines waiting.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
            self._events.send(text + b"\n")

    def read(self) -> list[Event]:
        """Events that are there; garbage becomes a Finished that says so."""
        return self._take(self._receive())

    def log_news(self) -> list[Event]:
        """One event if the log could be written and now can't, or the other way round; else none."""
        problem = self._drain.problem
        if (problem is None) == (self._log_problem is None):
            return []
        self._log_problem = problem
        return [Unsaved(file="log", problem=problem)]

    def end(self, exited: Exited) -> list[Event]:
        """Take what the process left in the socket and in the log's pipe, and close both."""
        events: list[Event] = []
        while chunk := self._receive():
            events += self._take(chunk)
        self.exited = exited
        self.close()
        return events + self.log_news()

    def close(self) -> None:
        """Close the socket and the log."""
        self._events.close()
        self._last_lines = self._drain.finish(num_lines=_SHOWN_LINES)

    def move_log(self, path: Path) -> None:
        """Continue its log, which is in memory, at ``path``."""
        self._drain.move_to(path)

    @property
    def has_news(self) -> bool:
        """The process has ended, or it is a contestant with an answer that was not taken yet."""
        return self.exited is not None or bool(self.answers)

    @property
    def end_in_words(self) -> str:
        """How the process ended, such as ``exit status 3`` or ``signal SIGSEGV``."""
        assert self.exited is not None
        return describe_end(-self.exited.signal if self.exited.signal else self.exited.status)

    def rehearsal(self, *, task: str) -> Rehearsal:
        """What the rehearsal that has ended found; raises TaskError for anything but a Rehearsal."""
        assert self.exited is not None
        try:
            answer = _REHEARSED.validate_json(self._rehearsed[0]) if self._rehearsed else None
        except ValidationError:
            answer = None
        match answer:
            case Rehearsal():
                return answer
            case Finished():
                raise TaskError(conceal(answer, secrets=self._secrets).reason)
            case None:
                pass
        message = f"task {task}: a rehearsal with one batch must come to its end, got {self.end_in_words}"
        lines = conceal_text(self._last_lines, secrets=self._secrets)
        raise TaskError(f"{message}, last lines:\n{lines}" if lines else message)

    def _receive(self) -> bytes:
        """The bytes that are there; empty when there are none, and at the socket's end."""
        try:
            chunk = self._events.recv(CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            chunk = b""
        self.is_at_end = not chunk
        return chunk

    def _take(self, chunk: bytes) -> list[Event]:
        """The events in the chunk; a rehearsal's answer and a contestant's are kept apart."""
        lines = self._lines.feed(chunk)
        if self.purpose == "rehearse":
            self._rehearsed += lines
            return []
        if self.purpose == "race":
            self.answers += [self._decode_answer(line) for line in lines if not self.is_garbled]
            return []
        events: list[Event] = []
        for line in lines:
            if self.is_garbled:
                break
            events.append(self._decode(line))
        return events

    def _decode(self, line: bytes) -> Event:
        """The event in the line; a Finished that says so if it is none."""
        try:
            event = decode(line)
        except ValidationError:
            event = None
        if event is None or isinstance(event, Stop | Go):  # these go the other way
            event = self._garbled(line)
        return conceal(event, secrets=self._secrets) if isinstance(event, Finished) else event

    def _decode_answer(self, line: bytes) -> Warmed | Block | Finished:
        """A contestant's answer in the line; a Finished that says so if it is none."""
        try:
            event = decode_race(line)
        except ValidationError:
            event = None
        if not isinstance(event, Warmed | Block | Finished):
            event = self._garbled(line)
        return conceal(event, secrets=self._secrets) if isinstance(event, Finished) else event

    def _garbled(self, line: bytes) -> Finished:
        """The end of a process that sends what is no event."""
        self.is_garbled = True
        shown = repr(line[:_SHOWN_BYTES])[1:]
        reason = f"trial {self.process.number}: its pipe carries events only, got {shown}; leave that descriptor alone"
        return Finished(outcome=Outcome.FAILED, reason=reason)
