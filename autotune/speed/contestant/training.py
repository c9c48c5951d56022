"""One contestant of a race, in the process that trains it: a training that runs block by block."""

import time

from autotune.events import Event, Finished, Outcome, Started, Stop, TrialOrder
from autotune.speed.contestant.block_pacer import BlockPacer, Orders
from autotune.speed.contestant.schedules import endless_schedules
from autotune.speed.contestant.worker_queues import WorkerQueues
from autotune.training.process.loading import LoadedTask
from autotune.training.process.run import run_trial
from autotune.training.trial_run import TrialRun

_UNLIMITED = {"resource": "epochs", "per_trial": None, "targets": (), "objective_metrics": ()}


def compete(order: TrialOrder, *, task: LoadedTask, orders: Orders) -> Finished:
    """Train as ordered until the process is ended, and say why where that comes too soon.

    A Warmed goes to ``orders``, and a Block for each order. What a trial would report is dropped, and no checkpoint is
    written. Neither a target nor used-up seconds end a contestant.
    """
    order = order.model_copy(update=_UNLIMITED)
    quiet = _Quiet()
    queues = WorkerQueues()
    pacers: list[BlockPacer] = []

    def pace(run: TrialRun) -> None:
        pacers.append(BlockPacer(run, orders=orders, started=lambda: quiet.started, queues=queues))
        run.pace(pacers[0])

    with endless_schedules(), queues.counted():
        finished = run_trial(order, task=task, channel=quiet, on_ready=pace)
    has_raised = finished.outcome not in {Outcome.COMPLETE, Outcome.FAILED} or finished.traceback is not None
    if not pacers or has_raised:
        return finished
    reason, has_begun = _too_short(order, pacers[0]), pacers[0].has_begun
    return Finished(outcome=Outcome.FAILED, reason=reason, is_too_short=has_begun)


class _Quiet:
    """A channel that remembers what is in force and drops the rest."""

    def __init__(self) -> None:
        self.opened_at = time.monotonic()
        self._started: Started | None = None

    @property
    def started(self) -> Started:
        """What is in force, which is told before the first batch is asked for."""
        assert self._started is not None
        return self._started

    @property
    def stop(self) -> Stop | None:
        """None at all times: a contestant is ended from outside."""
        return None

    def send(self, event: Event) -> None:
        """Remember what is in force."""
        if isinstance(event, Started):
            self._started = event


def _too_short(order: TrialOrder, pacer: BlockPacer) -> str:
    """Why a training that came to its end can't be raced, and what helps."""
    where = f"task {order.task}"
    if not pacer.has_begun:
        return (
            f"{where}: a race paces the batches that go through trial.loader or trial.watch, got none; use one of them"
        )
    return (
        f"{where}: a race trains as long as it needs, got the training's end after {pacer.num_steps} steps; "
        "train as many epochs as trial.epochs says, or give trial.watch a loader that can be iterated again"
    )
