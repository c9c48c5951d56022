"""A trial's process: becomes one after a fork, or starts as one, and ends with all its children.

``python -m autotune.trial.child DESCRIPTOR`` is the spawned kind; the descriptor is a socket
that carries one Prepare or Launch first, and events from then on.
"""

import faulthandler
import os
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from autotune.errors import TaskError
from autotune.events import Finished, Outcome, TrialOrder
from autotune.garbage import collected_seldom
from autotune.hardware import physical_cores, usable_cores
from autotune.trial.channel import PipeChannel, RaceChannel
from autotune.trial.messages import (
    CHUNK_BYTES,
    REQUEST,
    STACKS_SIGNAL,
    Launch,
    Prepare,
    Ready,
    Refused,
    Request,
)
from autotune.trial.oom_killer import be_killed_first
from autotune.trial.preparing import extend_import_path, set_up
from autotune.trial.relaunch import read_launch, relaunch_if_needed
from autotune.trial.watch import EndWithCoordinator

if TYPE_CHECKING:
    from autotune.training.process.loading import LoadedTask


def become_trial(launch: Launch, *, task: "LoadedTask", num_threads: int, events: socket.socket, log: int) -> NoReturn:
    """Turn a process that was just forked into a trial, and end it when the trial is over."""
    from autotune.training.process.forking import restore_threads

    status = 1
    try:
        os.setpgid(0, 0)
        be_killed_first()
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        _tell_stacks()
        _take_lease(launch.order)
        relaunch_if_needed(launch, events=events)
        restore_threads(num_threads)
        with _open_channel(launch, events=events) as channel:
            _carry_out(launch, task=task, channel=channel)
        status = 0
    except BaseException:  # noqa: BLE001 - a forked process must never return into its parent's code
        traceback.print_exc()
    finally:
        end_process(status)


def end_process(status: int) -> NoReturn:
    """End at once: exit handlers belong to the process that was forked, workers end with the group."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def write_lines_at_once() -> None:
    """Let every line of output reach the log, also when the process dies before its buffer is full."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def _tell_stacks() -> None:
    """Write the stacks of all threads to the log whenever the signal for that comes."""
    # In C, so that it works while a thread holds the interpreter's lock; forked workers inherit it.
    faulthandler.register(STACKS_SIGNAL, file=sys.stderr, all_threads=True, chain=False)


def main() -> NoReturn:
    """Run the one order that comes over the socket given on the command line."""
    events = socket.socket(fileno=int(sys.argv[1]))
    events.set_inheritable(False)
    write_lines_at_once()
    faulthandler.enable()
    _tell_stacks()
    request = read_launch(int(sys.argv[2])) if len(sys.argv) > 2 else _receive(events)  # noqa: PLR2004
    status = 1
    try:
        if isinstance(request, Prepare):
            with EndWithCoordinator(events), collected_seldom():
                answer = _prepare(request)
            events.sendall(answer.model_dump_json().encode() + b"\n")
        else:
            assert isinstance(request, Launch), request
            be_killed_first()
            # Before torch is imported: OpenMP counts the cores of the lease then.
            _take_lease(request.order)
            relaunch_if_needed(request, events=events)
            with _open_channel(request, events=events) as channel:
                _launch(request, channel=channel)
        status = 0
    except BaseException:  # noqa: BLE001 - the log has it, and end_process below is the one way out
        traceback.print_exc()
    end_process(status)


def _receive(events: socket.socket) -> Request:
    """The first request that comes over the socket; ends this process where none comes.

    What comes after it stays in the socket, for the trial's channel.
    """
    received = b""
    while not received.endswith(b"\n"):
        ahead = events.recv(CHUNK_BYTES, socket.MSG_PEEK)
        if not ahead:
            end_process(1)
        line, newline, _ = ahead.partition(b"\n")
        received += events.recv(len(line + newline))
    return REQUEST.validate_json(received)


def _prepare(request: Prepare) -> Ready | Refused:
    """Try the task, and say what it declares and what torch sees."""
    extend_import_path(request.import_path)
    from autotune.training.machine.facts import torch_facts

    prepared = set_up(request.task)
    if isinstance(prepared, Refused):
        return prepared
    _, knobs = prepared
    return Ready(facts=torch_facts(), knobs=knobs)


def _launch(request: Launch, *, channel: PipeChannel) -> None:
    """Set the task up in this process, and do what it was launched for."""
    extend_import_path(request.import_path)
    try:
        with collected_seldom():
            from autotune.training.process.loading import load_task

            task = load_task(request.order.task)
        task.setup()
    except TaskError as error:
        channel.send(Finished(outcome=Outcome.FAILED, reason=str(error)))
        return
    _carry_out(request, task=task, channel=channel)


def _open_channel(launch: Launch, *, events: socket.socket) -> PipeChannel:
    """The channel for what the process was launched for."""
    kind = RaceChannel if launch.purpose == "race" else PipeChannel
    return kind(events)


def _carry_out(launch: Launch, *, task: "LoadedTask", channel: PipeChannel) -> None:
    """Train, compete or rehearse, and send the last word."""
    order = launch.order
    if launch.purpose == "train":
        from autotune.training.process.run import run_trial

        await_turn = channel.await_turn if launch.is_ahead else None
        channel.send(run_trial(order, task=task, channel=channel, await_turn=await_turn))
        return
    if isinstance(channel, RaceChannel):
        from autotune.speed.contestant.training import compete

        channel.send(compete(order, task=task, orders=channel))
        return
    from autotune.training.process.rehearsal import rehearse

    try:
        channel.send(rehearse(task, parameters=order.parameters, device=order.device))
    except TaskError as error:
        channel.send(Finished(outcome=Outcome.FAILED, reason=str(error)))


def _take_lease(order: TrialOrder) -> None:
    """Devices and cores of this trial; before CUDA starts, which reads the variable once."""
    if order.visible_devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = order.visible_devices
    if hasattr(os, "sched_setaffinity"):
        cores = order.cores or usable_cores()
        if order.parameters.get("cpu_affinity") == "physical":
            cores = physical_cores(cores) or cores
        os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    main()
