"""One trial from its order to its outcome, in the process that trains it."""

import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from autotune.events import Finished, Outcome, Scalar, TrialOrder
from autotune.shortages import OutOfMemory, Shortage, read_out_of_memory
from autotune.training.failures import (
    CrowdedError,
    DivergedError,
    FencedError,
    InfeasibleError,
    is_killed_worker,
    is_unsupported,
    one_line,
)
from autotune.training.loop import fit
from autotune.training.machine.crowding import crowding, memory_at
from autotune.training.machine.device import open_device
from autotune.training.machine.process_knobs import apply_process_knobs
from autotune.training.process.loading import LoadedTask
from autotune.training.reporting.channel import Channel
from autotune.training.rng import seed_everything
from autotune.training.task import Task
from autotune.training.trial import Trial
from autotune.training.trial_run import AwaitTurn, TrialRun

_TRACEBACK_LINES = 30


def run_trial(
    order: TrialOrder,
    *,
    task: LoadedTask,
    channel: Channel,
    on_ready: Callable[[TrialRun], None] | None = None,
    await_turn: AwaitTurn | None = None,
) -> Finished:
    """Train as ordered, and say how it ended.

    Started, Progress and EpochReports go to the channel; the Finished is returned, not sent,
    so that the caller sends it as its last word. Whatever the task raises becomes an outcome.

    Args:
        order: What to train.
        task: The task; its ``setup`` is run first if it was not run before.
        channel: Where events go, and where the wish to stop comes from.
        on_ready: Called with the run before it trains.
        await_turn: Waits until the trial's turn has come, where another one still trains on the device; what can be
            set up beside that one is set up before. None where it is the trial's turn.
    """
    try:
        return _run(order, task=task, channel=channel, on_ready=on_ready, await_turn=await_turn)
    except RuntimeError as late:
        # torch tells of a killed worker from a signal handler, wherever the code is then: also where the outcome
        # of the batch that broke off with it is being made up.
        if not is_killed_worker(late):
            raise
        return _finished_by(late, device=order.device)


def _run(
    order: TrialOrder,
    *,
    task: LoadedTask,
    channel: Channel,
    on_ready: Callable[[TrialRun], None] | None,
    await_turn: AwaitTurn | None,
) -> Finished:
    try:
        run = _prepare(order, task=task, channel=channel, await_turn=await_turn)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it becomes the outcome
        return _finished_by(error, device=order.device)
    try:
        if on_ready is not None:
            on_ready(run)
        if isinstance(task.target, Task):
            fit(task.target, run)
        else:
            run.await_turn()  # what a loop of the user's own does first, nobody knows
            task.target(Trial(run))
        run.checkpoint.wait()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it becomes the outcome
        return _finished_by(error, device=order.device, run=run)
    finally:
        run.checkpoint.join()
    return _finished(run, channel=channel)


def _prepare(order: TrialOrder, *, task: LoadedTask, channel: Channel, await_turn: AwaitTurn | None) -> TrialRun:
    """Make what the training needs, and set the knobs and seeds that hold for the whole process."""
    task.setup()
    if await_turn is None:
        device = _open(order)
        run = TrialRun(order, device=device, channel=channel)
    else:
        device = torch.device(order.device)
        run = TrialRun(order, device=device, channel=channel, await_turn=partial(_take_turn, await_turn, order))
    apply_process_knobs(run.params, cores=order.cores, device=device)
    seed_everything(order.seed)
    return run


def _open(order: TrialOrder) -> torch.device:
    """Make the trial's folder, and open its device."""
    Path(order.folder).mkdir(parents=True, exist_ok=True)
    return open_device(order.device)


def _take_turn(await_turn: AwaitTurn, order: TrialOrder, asked: tuple[str, ...] | None) -> Mapping[str, Scalar]:
    """Wait for the trial's turn, and open what it needs then; gives the parameters that the trial has."""
    parameters = await_turn(asked)
    _open(order)
    return parameters


def _finished(run: TrialRun, *, channel: Channel) -> Finished:
    """The outcome of a training that has returned."""
    stop = channel.stop
    if stop is not None and run.has_seen_stop and not run.is_over:
        return _tell(run, outcome=stop.outcome, reason=stop.reason)
    if run.meter.epochs_done == 0:
        return _tell(
            run, outcome=Outcome.FAILED, reason="the task ended without a report; call trial.report each epoch"
        )
    run.begin()
    if run.reports.reason_to_prune is not None:
        return _tell(run, outcome=Outcome.PRUNED, reason=run.reports.reason_to_prune)
    return _tell(run, outcome=Outcome.COMPLETE, reason=None)


def _finished_by(error: BaseException, *, device: str, run: TrialRun | None = None) -> Finished:
    """The outcome of a training that has raised; ``run`` is None where the error came before there was one."""
    reason = one_line(error)
    is_killed = is_killed_worker(error)
    ran_out = read_out_of_memory(error)
    memory = memory_at(error, device=run.device) if run else None
    lines = "".join(traceback.format_exception(error)).splitlines()[-_TRACEBACK_LINES:]
    # torch's re-raised worker errors refer to their own frames; left to the garbage collector, the
    # loader's workers would be ended in an order in which they wait five seconds for a word.
    traceback.clear_frames(error.__traceback__)
    if isinstance(error, DivergedError):
        return _tell(run, outcome=Outcome.DIVERGED, reason=str(error))
    if isinstance(error, FencedError):
        return _tell(run, outcome=Outcome.INTERRUPTED, reason=str(error))
    crowd = str(error) if isinstance(error, CrowdedError) else crowding(memory) if memory is not None else None
    if crowd is not None:
        told = _tell(run, outcome=Outcome.INTERRUPTED, reason=crowd)  # to be tried again with the device to itself
        return told.model_copy(update={"is_crowded": True})
    if is_killed:
        told = _tell(run, outcome=Outcome.INTERRUPTED, reason="a DataLoader worker was killed (signal 9)")
        return told.model_copy(update={"is_killed_worker": True})
    if ran_out is not None or isinstance(error, InfeasibleError) or is_unsupported(error):
        told = _tell(run, outcome=Outcome.INFEASIBLE, reason=reason)
        return told if ran_out is None else _out_of_memory(told, ran_out, device=device)
    return _tell(run, outcome=Outcome.FAILED, reason=reason, tail="\n".join(lines))


def _out_of_memory(told: Finished, ran_out: OutOfMemory, *, device: str) -> Finished:
    """The outcome with whose memory ran out."""
    # A CPU's memory is the host's, and larger batches run out of it; what workers send batches through is apart.
    is_own = ran_out.shortage == "device" or (device == "cpu" and not ran_out.is_of_workers)
    shortage: Shortage = "device" if is_own else "host"
    return told.model_copy(update={"is_out_of_memory": is_own, "shortage": shortage})


def _tell(run: TrialRun | None, *, outcome: Outcome, reason: str | None, tail: str | None = None) -> Finished:
    """The outcome with the trial's throughput, and with the parameters that nobody read where it is complete."""
    return Finished(
        outcome=outcome,
        reason=reason,
        traceback=tail,
        samples_per_second=run.reports.steady_samples_per_second if run else None,
        unread_parameters=run.params.unread if run and outcome is Outcome.COMPLETE else (),
    )
