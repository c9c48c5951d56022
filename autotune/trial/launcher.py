"""The coordinator's side of trial processes: launch, listen, stop, end."""

import contextlib
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias

from autotune.errors import ForkServerError, TaskError
from autotune.events import Go, Rehearsal, RunBlock, Scalar, Stop, TrialOrder, encode
from autotune.hardware import TorchFacts
from autotune.task_knob import TaskKnob
from autotune.trial.descendants import signal_group
from autotune.trial.fork_client import ForkServer
from autotune.trial.link import Arrival, Exited, Link, TrialProcess
from autotune.trial.log import LogDrain, TrialLog, open_pipe
from autotune.trial.messages import CHUNK_BYTES, STACKS_SIGNAL, Ended, Launch
from autotune.trial.secrets import reveal
from autotune.trial.spawner import Spawner
from autotune.trial.starter import Starter

__all__ = ["Arrival", "Exited", "Launcher", "Method", "TrialProcess"]

_TRIAL_LOG = "trial.log"

Method: TypeAlias = Literal["fork_server", "spawn"]


class Launcher:
    """Starts trial processes of one task and hears them; a context manager.

    Everything but ``wake`` belongs to one thread.
    """

    def __init__(self, starter: Starter, *, secrets: Mapping[str, Scalar] | None = None) -> None:
        """Hear what this starter starts.

        Args:
            starter: Starts processes.
            secrets: Values of secret parameters: only trials are told, and what trials send is redacted.
        """
        self._starter = starter
        self._secrets = dict(secrets or {})
        self._links: dict[int, Link] = {}
        self._backlog: list[Arrival] = []
        self._lost: ForkServerError | None = None
        self._is_closed = False
        self._waking, self._woken = socket.socketpair()
        self._waking.settimeout(0)
        self._woken.settimeout(0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(starter, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    @classmethod
    def start(
        cls,
        task: str,
        *,
        method: Method | None = None,
        secrets: Mapping[str, Scalar] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> Self:
        """Import the task and set it up where trials will start from, however long that takes.

        Args:
            task: The task's name.
            method: How trials start; the system's best if None.
            secrets: Values of secret parameters; see above.
            tell: Told a line now and then where import and set-up take long.

        Raises:
            TaskError: The task can't be found, imported or set up.
        """
        # macOS has fork, but its own frameworks do not survive it; Python gave it up there, too.
        method = method or ("fork_server" if sys.platform == "linux" else "spawn")
        kind = ForkServer if method == "fork_server" else Spawner
        starter = kind.start(task, tell=tell)
        return cls(starter, secrets=secrets)

    @property
    def facts(self) -> TorchFacts:
        """What torch answers in a trial's process."""
        return self._starter.facts

    @property
    def knobs(self) -> tuple[TaskKnob, ...]:
        """Speed parameters that the task declares itself."""
        return self._starter.knobs

    def rehearse(self, order: TrialOrder, *, timeout: float = 120.0) -> Rehearsal:
        """Take one small batch through the task, in a process like a trial's.

        Raises TaskError when the task raises, crashes or hangs. What other trials send meanwhile
        comes at the next ``wait``.
        """
        link = self._launch(Launch(order=order, purpose="rehearse"), log_name="rehearsal.log")
        deadline = time.monotonic() + timeout
        is_late = False
        while link.exited is None:
            self.hear(link, timeout=max(0.0, deadline - time.monotonic()))
            if not is_late and time.monotonic() >= deadline:
                is_late = link.exited is None
                deadline = math.inf
                self.kill(link.process, grace_seconds=0)
        if is_late:
            raise TaskError(
                f"task {order.task}: a rehearsal with one batch must end within {timeout:.0f} s, got no end"
            )
        return link.rehearsal(task=order.task)

    def launch(self, order: TrialOrder) -> TrialProcess:
        """Start a trial; its events arrive at ``wait``.

        Raises ForkServerError when the process that starts trials has ended.
        """
        return self._launch(Launch(order=order, purpose="train"), log_name=_TRIAL_LOG).process

    def launch_ahead(self, order: TrialOrder) -> TrialProcess:
        """Start a process of a trial whose turn has not come: it sets up what it can, and waits for ``begin``.

        Until then nothing is in the trial's folder. Raises ForkServerError when the process that starts trials has
        ended.
        """
        return self._launch(Launch(order=order, purpose="train", is_ahead=True), log_name=None).process

    def begin(self, process: TrialProcess, *, order: TrialOrder) -> None:
        """Tell a process that was launched ahead that its trial's turn has come; nothing happens if it is gone.

        Args:
            process: It waits, or will once it has set up what it can.
            order: The trial's. Its parameters may differ from those at the launch where the process has not asked for
                them.
        """
        if (link := self._links.get(process.pid)) is not None:
            link.move_log(_make_folder(order) / _TRIAL_LOG)
            link.send(encode(Go(parameters=reveal(order, secrets=self._secrets).parameters)))

    def launch_contestant(self, order: TrialOrder) -> Link:
        """Start a contestant of a race; what it says is heard by ``hear`` alone, never by ``wait``.

        Raises ForkServerError when the process that starts trials has ended.
        """
        return self._launch(Launch(order=order, purpose="race"), log_name="contestant.log")

    def hear(self, link: Link, *, timeout: float) -> None:
        """Wait until a contestant has said something or has ended, or something else has come.

        What trials send meanwhile comes at the next ``wait``. Raises ForkServerError when the
        process that starts trials has ended.
        """
        self._backlog += self._listen(timeout, link=link)
        if self._lost is not None:
            raise self._lost

    def run_block(self, contestant: Link, order: RunBlock) -> None:
        """Let a contestant train; it answers with a Block."""
        contestant.send(encode(order))

    def freeze(self, process: TrialProcess) -> None:
        """Stop a process and all its children where they are, until ``thaw``.

        Nothing happens without a fork server: it ends what is stopped when the coordinator dies.
        """
        if self._starter.outlives_the_coordinator:
            self._starter.signal(process.pid, number=signal.SIGSTOP)

    def thaw(self, process: TrialProcess) -> None:
        """Let what ``freeze`` stopped go on."""
        if self._starter.outlives_the_coordinator:
            self._starter.signal(process.pid, number=signal.SIGCONT)

    def send(self, process: TrialProcess, *, stop: Stop) -> None:
        """Tell a trial to stop at its next step boundary; nothing happens if it is gone."""
        if (link := self._links.get(process.pid)) is not None:
            link.send(encode(stop))

    def kill(self, process: TrialProcess, *, grace_seconds: float = 5.0, is_to_tell_where: bool = False) -> None:
        """End a trial's process group: SIGTERM now, SIGKILL after the grace. Returns at once; ``wait`` sees to it.

        A process that is to tell where it hangs writes the stack of each of its threads, and of
        its workers', to its log first, and gets the grace for that in place of SIGTERM's.
        """
        if (link := self._links.get(process.pid)) is None:
            return
        if is_to_tell_where:
            self._starter.signal(process.pid, number=STACKS_SIGNAL)
            link.kill_at = time.monotonic() + grace_seconds
            return
        self._starter.signal(process.pid, number=signal.SIGTERM if grace_seconds > 0 else signal.SIGKILL)
        link.kill_at = time.monotonic() + grace_seconds

    def wait(self, timeout: float) -> list[Arrival]:
        """What has arrived, in order, as soon as there is any; empty at the timeout or after ``wake``.

        A process's Exited comes once, after all its events. Raises ForkServerError when nothing
        more can come since the process that starts trials has ended; its trials' ends come first.
        """
        if self._backlog:
            arrivals, self._backlog = self._backlog, []
            return arrivals
        return self._listen(timeout) + self._log_news()

    def wake(self) -> None:
        """End a running or the next ``wait``; safe in a signal handler and from another thread."""
        # Full means that calls enough are waiting; closed, that nobody waits.
        with contextlib.suppress(OSError):
            self._waking.send(b".")

    def close(self) -> None:
        """End every trial at once and the process that they start from; again is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        self._starter.close()
        for link in self._links.values():
            link.close()
        self._links.clear()
        self._selector.close()
        self._waking.close()
        self._woken.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _launch(self, launch: Launch, *, log_name: str | None) -> Link:
        """Start a process, with its socket and its log, which without a name is in memory, and listen to it."""
        if self._lost is not None:
            raise self._lost
        launch = launch.model_copy(update={"order": reveal(launch.order, secrets=self._secrets)})
        max_bytes = launch.order.max_log_bytes
        if log_name is None:
            log = TrialLog.in_memory(max_bytes=max_bytes)
        else:
            log = TrialLog.open(_make_folder(launch.order) / log_name, max_bytes=max_bytes)
        near, far = socket.socketpair()
        reading, writing = open_pipe()
        drain = LogDrain(reading, log=log)
        drain.start()
        pid = None
        try:
            pid = self._starter.start_trial(launch, near=near, far=far, log=writing)
        finally:
            far.close()
            os.close(writing)
            if pid is None:
                near.close()
                drain.finish()
        process = TrialProcess(launch.order.number, pid=pid)
        link = Link(process, purpose=launch.purpose, events=near, drain=drain, secrets=self._secrets)
        self._links[pid] = link
        self._selector.register(link, selectors.EVENT_READ, link)
        return link

    def _listen(self, timeout: float, *, link: Link | None = None) -> list[Arrival]:
        """What has arrived from trials; returns as soon as there is something, or ``link`` has news."""
        deadline = time.monotonic() + timeout
        while True:
            self._kill_overdue()
            arrivals = self._collect_ended()
            if arrivals or (link is not None and link.has_news):
                return arrivals
            is_woken = False
            for key, _ in self._selector.select(self._pause(deadline)):
                if isinstance(key.data, Link):
                    arrivals += self._hear(key.data)
                elif key.fileobj is self._woken:
                    self._woken.recv(CHUNK_BYTES)
                    is_woken = True
            if arrivals or is_woken or (link is not None and link.has_news) or time.monotonic() >= deadline:
                return arrivals

    def _pause(self, deadline: float) -> float | None:
        """Seconds until something must be done; None is for ever."""
        soonest = min([deadline, *(link.kill_at for link in self._links.values() if link.kill_at is not None)])
        return None if soonest == math.inf else max(0.0, soonest - time.monotonic())

    def _hear(self, link: Link) -> list[Arrival]:
        """What a process has said; one that says what is no event is killed."""
        events = link.read()
        if link.is_at_end:  # the starter tells its exit; a socket at its end would be readable for ever
            self._selector.unregister(link)
        if link.is_garbled and link.kill_at is None:
            self.kill(link.process)
        return [Arrival(link.process, event) for event in events]

    def _log_news(self) -> list[Arrival]:
        """Events on logs that can't be written any more, or can be again."""
        trials = [link for link in self._links.values() if link.purpose == "train"]
        return [Arrival(link.process, event) for link in trials for event in link.log_news()]

    def _kill_overdue(self) -> None:
        """Send SIGKILL to processes whose grace is over."""
        now = time.monotonic()
        for link in self._links.values():
            if link.kill_at is not None and link.kill_at <= now:
                self._starter.signal(link.process.pid, number=signal.SIGKILL)
                link.kill_at = math.inf

    def _collect_ended(self) -> list[Arrival]:
        """The last events of processes that have ended; raises ForkServerError once their starter is gone."""
        if self._lost is not None:
            raise self._lost
        try:
            ended = self._starter.read_ended()
        except ForkServerError as error:
            return self._lose(error)
        return [arrival for end in ended for arrival in self._end(end)]

    def _end(self, ended: Ended) -> list[Arrival]:
        """Let a process go that has ended, and hand on its last events."""
        link = self._links.pop(ended.pid)
        if not link.is_at_end:
            self._selector.unregister(link)
        exited = Exited(ended.status, signal=ended.signal)
        if link.purpose != "train":
            link.end(exited)
            return []
        return [Arrival(link.process, event) for event in (*link.end(exited), exited)]

    def _lose(self, error: ForkServerError) -> list[Arrival]:
        """The fork server is gone: no trial may go on without anyone to reap it."""
        self._lost = error
        for pid in self._links:
            signal_group(pid, number=signal.SIGKILL)
        status = 128 + signal.SIGKILL
        ends = [Ended(pid=pid, status=status, signal=signal.SIGKILL) for pid in self._links]
        if not ends:
            raise error
        return [arrival for end in ends for arrival in self._end(end)]


def _make_folder(order: TrialOrder) -> Path:
    """The trial's folder, made where it is not there."""
    folder = Path(order.folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
