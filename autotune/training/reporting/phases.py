"""Where the time of a block of training steps goes: data wait, copy, forward and backward, optimizer."""

import time
from collections import defaultdict, deque
from typing import Literal, TypeAlias

import torch

from autotune.training.machine.device import synchronize

Phase: TypeAlias = Literal["data_wait", "copy", "compute", "optimizer", "rest"]
_MOST_AHEAD = 4
"""Steps of a block that a CUDA device has yet to do when one more is launched: enough to keep it busy."""


class Phases:
    """Splits a block's time at marks: each mark ends a stretch of time and says what it was.

    The time is the clock's on a CPU. On a CUDA device it is that of events, which are read after the block: a
    stretch is then what passed on the device, so that waiting for data counts only while the device has
    nothing left to do. The device is waited for where a block starts, pauses and stops.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._has_events = device.type == "cuda"
        self._pool: list[torch.cuda.Event] = []
        self._clear()

    def _clear(self) -> None:
        self._is_running = self._is_paused = False
        self._resumed = 0.0
        self._seconds = 0.0
        self._last = 0.0
        self._split: defaultdict[Phase, float] = defaultdict(float)
        self._marks: list[tuple[Phase | None, torch.cuda.Event]] = []
        self._ahead: deque[torch.cuda.Event] = deque()

    @property
    def seconds(self) -> float:
        """Seconds of the block so far by the host's clock, without pauses."""
        return self._seconds + (time.perf_counter() - self._resumed if self._is_running else 0.0)

    def start(self) -> None:
        """Begin a block."""
        self._clear()
        self._is_paused = True
        self.resume()

    def mark(self, phase: Phase) -> None:
        """Count the time since the last mark as this phase; does nothing while no block runs."""
        if not self._is_running:
            return
        if self._has_events:
            self._record(phase)
            return
        now = time.perf_counter()
        self._split[phase] += now - self._last
        self._last = now

    def end_step(self) -> None:
        """A step was launched, and marked; a host that is far ahead of the device waits until that has caught up.

        A block ends by the host's clock. A step that is one launch (a CUDA graph) would be queued hundreds of times by
        then, and the block take as long as the device needs for all of them.
        """
        if not (self._has_events and self._is_running):
            return
        self._ahead.append(self._marks[-1][1])
        if len(self._ahead) > _MOST_AHEAD:
            self._ahead.popleft().synchronize()

    def pause(self) -> None:
        """Wait for the device, and leave out what follows."""
        if not self._is_running:
            return
        synchronize(self._device)
        self._seconds = self.seconds
        self._is_running, self._is_paused = False, True

    def resume(self) -> None:
        """Go on with the block that was paused; does nothing where none was."""
        if not self._is_paused:
            return
        synchronize(self._device)
        self._is_running, self._is_paused = True, False
        if self._has_events:
            self._record(None)
        self._resumed = self._last = time.perf_counter()

    def stop(self) -> dict[Phase, float]:
        """End the block, and return its seconds by phase; ``seconds`` stays until the next start."""
        self.pause()
        self._is_paused = False
        for (_, before), (phase, after) in zip(self._marks, self._marks[1:], strict=False):
            if phase is not None:
                self._split[phase] += before.elapsed_time(after) / 1000
        self._pool += [event for _, event in self._marks]
        self._marks = []
        return dict(self._split)

    def _record(self, phase: Phase | None) -> None:
        """Put an event after what was launched so far; the time before it belongs to ``phase``, or to none of them."""
        event = self._pool.pop() if self._pool else torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        self._marks.append((phase, event))
