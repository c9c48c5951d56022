"""What the launcher and the processes that start trials say to each other, one JSON text each.

Events of a trial (``autotune/events.py``) travel beside these, over a socket that joins the
trial and the coordinator directly.
"""

import signal
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from autotune.events import TrialOrder
from autotune.hardware import TorchFacts
from autotune.task_knob import TaskKnob

Purpose: TypeAlias = Literal["train", "rehearse", "race"]
"""What a process is started for: to train a trial, to try one batch, or to run as a contestant of a race."""

CHUNK_BYTES = 2**16
"""The most bytes that are read from a socket at once."""

STACKS_SIGNAL = signal.SIGUSR2
"""A trial that gets it writes the stacks of all its threads to its log, and goes on."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Prepare(_Message):
    """Import the task and set it up; answered by Ready or Refused."""

    kind: Literal["prepare"] = "prepare"
    task: str
    import_path: tuple[str, ...]
    """Where the coordinator finds modules, so that it and its trials import the same ones."""


class Launch(_Message):
    """Start a process for this order; two descriptors come along: its events, its log."""

    kind: Literal["launch"] = "launch"
    order: TrialOrder
    purpose: Purpose
    is_ahead: bool = False
    """Another trial is training: this one is set up beside it, and waits for a Go."""
    import_path: tuple[str, ...] = ()


class Signal(_Message):
    """Send a signal to a trial's process group."""

    kind: Literal["signal"] = "signal"
    pid: int
    number: int


class Ready(_Message):
    """The task is set up."""

    kind: Literal["ready"] = "ready"
    facts: TorchFacts
    knobs: tuple[TaskKnob, ...] = ()
    """Speed parameters that the task declares itself."""


class Refused(_Message):
    """The request can't be carried out."""

    kind: Literal["refused"] = "refused"
    reason: str


class Forked(_Message):
    """The trial's process runs."""

    kind: Literal["forked"] = "forked"
    pid: int


class Ended(_Message):
    """A trial's process has ended, and its process group with it."""

    kind: Literal["ended"] = "ended"
    pid: int
    status: int
    """Its exit status; 128 + the signal's number where a signal ended it."""
    signal: int | None


Request: TypeAlias = Prepare | Launch | Signal
Answer: TypeAlias = Ready | Refused | Forked | Ended

REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="kind")])
ANSWER: TypeAdapter[Answer] = TypeAdapter(Annotated[Answer, Field(discriminator="kind")])

MAX_MESSAGE_BYTES = 2**20


class LineBuffer:
    """Cuts a stream of bytes into lines.

    What is longer than a message can be is handed out as if it were a line: it won't parse, and
    the buffer stays bounded.
    """

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that ``chunk`` completes, without their ends."""
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        if len(self._partial) > MAX_MESSAGE_BYTES:
            lines.append(self._partial)
            self._partial = b""
        return lines
