"""The process that trials are forked from: torch and the task are imported and set up once.

``python -m autotune.trial.fork_server DESCRIPTOR`` is started by the launcher; the descriptor
is a socket with one message a packet. Its end says that the coordinator is gone: everything
below this process is killed then.

It runs one thread when it forks, uses one OpenMP thread, and never initialises CUDA: none of
the three survives a fork.
"""

import contextlib
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, NoReturn

from autotune.garbage import collected_seldom
from autotune.trial.child import become_trial, write_lines_at_once
from autotune.trial.descendants import adopt_orphans, end_group, next_death, signal_group
from autotune.trial.messages import (
    MAX_MESSAGE_BYTES,
    REQUEST,
    Answer,
    Ended,
    Forked,
    Launch,
    Prepare,
    Ready,
    Refused,
    Signal,
)
from autotune.trial.preparing import extend_import_path, set_up
from autotune.trial.watch import EndWithCoordinator, end_everything

if TYPE_CHECKING:
    from autotune.training.process.loading import LoadedTask

_NUM_DESCRIPTORS = 2


def main() -> None:
    """Serve on the socket given on the command line until its other end closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    write_lines_at_once()
    faulthandler.enable()
    # torch.cuda.is_available() in a task's module would start the CUDA driver without this.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    adopt_orphans()
    try:
        with EndWithCoordinator(control), collected_seldom():
            prepared = _prepare(control)
            if prepared is not None:
                # After the answer: the coordinator has imports of its own to do meanwhile.
                _import_ahead()
        if prepared is not None:
            task, num_threads = prepared
            _ForkServer(control, task=task, num_threads=num_threads).serve()
    except BaseException:  # noqa: BLE001 - told in the log; the task's threads must not keep this process alive
        traceback.print_exc()
    finally:
        end_everything(1)


def _prepare(control: socket.socket) -> "tuple[LoadedTask, int] | None":
    """The task, set up, and torch's default number of threads; None when it had to be refused."""
    request = REQUEST.validate_json(control.recv(MAX_MESSAGE_BYTES))
    assert isinstance(request, Prepare), request
    extend_import_path(request.import_path)
    from autotune.training.machine.facts import torch_facts
    from autotune.training.process.forking import has_used_cuda, hold_threads

    facts = torch_facts()
    num_threads = hold_threads()
    prepared = set_up(request.task)
    if isinstance(prepared, Refused):
        _answer(control, prepared)
        return None
    task, knobs = prepared
    if has_used_cuda():
        rule = "its module and setup() may not use CUDA, which does not survive a fork, got an initialised CUDA"
        _answer(control, Refused(reason=f"task {request.task}: {rule}; move the data in model() or forward()"))
        return None
    _answer(control, Ready(facts=facts, knobs=knobs))
    return task, num_threads


def _import_ahead() -> None:
    """Import what trials need, and keep the garbage collector off what they share."""
    from autotune.training.process.forking import import_ahead

    import_ahead("autotune.speed.contestant.training")
    gc.collect()
    gc.freeze()  # a collection in a trial would otherwise write to, and so copy, every page that is shared


class _ForkServer:
    """Forks, signals and reaps trials, one request at a time."""

    def __init__(self, control: socket.socket, *, task: "LoadedTask", num_threads: int) -> None:
        self._control = control
        self._task = task
        self._num_threads = num_threads
        self._trials: set[int] = set()
        self._deaths, deaths = socket.socketpair()
        for end in (self._deaths, deaths):
            end.settimeout(0)
        self._deaths_end = deaths
        # The handler does nothing, but without one Python tells the descriptor nothing either.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(deaths.fileno(), warn_on_full_buffer=False)

    def serve(self) -> NoReturn:
        """Attend to requests and to deaths until the coordinator is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._deaths, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._deaths.fileno():
                    self._bury()
                else:
                    self._attend()

    def _attend(self) -> None:
        """Carry out one request; ends everything where the coordinator is gone."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE_BYTES, _NUM_DESCRIPTORS)
        except ConnectionResetError:
            packet, descriptors = b"", []
        if not packet:
            end_everything(0)
        request = REQUEST.validate_json(packet)
        match request:
            case Launch():
                events, log = descriptors
                _answer(self._control, self._fork(request, events=events, log=log))
            case Signal():
                if request.pid in self._trials:
                    signal_group(request.pid, number=request.number)
            case Prepare():
                raise AssertionError(request)

    def _fork(self, launch: Launch, *, events: int, log: int) -> Forked | Refused:
        """Start a process for the launch; it owns both descriptors from then on."""
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            with warnings.catch_warnings():
                # Told where a library has threads of its own: BLAS has, and handlers that make it fork-safe.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as error:
            os.close(events)
            os.close(log)
            return Refused(reason=f"the fork server can't start a process: {error}")
        if pid == 0:
            self._forget()
            become_trial(
                launch,
                task=self._task,
                num_threads=self._num_threads,
                events=_own_socket(events),
                log=log,
            )
        os.close(events)
        os.close(log)
        # In the trial too: whichever comes first, the group is there before anyone signals it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(pid, pid)
        self._trials.add(pid)
        return Forked(pid=pid)

    def _forget(self) -> None:
        """Drop, in a forked process, what belongs to this server alone."""
        signal.set_wakeup_fd(-1)
        self._control.close()
        self._deaths.close()
        self._deaths_end.close()

    def _bury(self) -> None:
        """Reap the processes that have ended, with all that is left of their groups, and tell of trials."""
        with contextlib.suppress(BlockingIOError):
            while self._deaths.recv(MAX_MESSAGE_BYTES):
                pass
        while (death := next_death()) is not None:
            if death.pid not in self._trials:
                os.waitpid(death.pid, 0)
                continue
            # The leader is not reaped yet, so this can't reach another process group.
            end_group(death.pid)
            self._trials.remove(death.pid)
            _answer(self._control, Ended(pid=death.pid, status=death.status, signal=death.signal))


def _own_socket(descriptor: int) -> socket.socket:
    events = socket.socket(fileno=descriptor)
    events.set_inheritable(False)
    return events


def _answer(control: socket.socket, answer: Answer) -> None:
    # A coordinator that is gone is noticed where requests are read.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        control.send(answer.model_dump_json().encode())


if __name__ == "__main__":
    main()
