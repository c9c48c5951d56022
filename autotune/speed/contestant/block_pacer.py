"""Paces a training loop for a race: warms it up, then trains one block for each order."""

import inspect
import statistics
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from autotune.errors import TaskError
from autotune.events import UNREAD, Block, Feed, RunBlock, Scalar, Started, Warmed
from autotune.hardware import read_load
from autotune.speed.contestant.attention import AttentionWatch
from autotune.speed.contestant.passes import Passes
from autotune.speed.contestant.settling import MAX_STEPS, StepSeconds, has_settled, settled_seconds
from autotune.speed.contestant.start_state import StartState
from autotune.speed.contestant.surroundings import Counts, read_clock_and_temperature, read_counts
from autotune.speed.contestant.worker_queues import WorkerQueues
from autotune.speed.contestant.worker_rounds import WorkerRounds
from autotune.speed.knobs import KNOBS
from autotune.speed.measuring.bottleneck import LEAST_CUT
from autotune.training.batches import Batch, can_be_cut, count_samples, micro_batches
from autotune.training.machine.device import DeviceWatch, held_memory_bytes, peak_memory_bytes, synchronize
from autotune.training.reporting.phases import Phases
from autotune.training.steps.pacing import Source
from autotune.training.trial_run import TrialRun

_LONG_START_SECONDS = 2.0
_MAX_LOSSES = 10_000
"""Most losses that are told of one block: a message has an end."""

Batches: TypeAlias = Generator[Batch | None, None, None]
"""Batches for the loop, each when it is asked for; None where the loop is to begin a pass of its own."""


class Orders(Protocol):
    """The contestant's side of the pipe to its coordinator."""

    def next_block(self) -> RunBlock:
        """Wait for the next order."""

    def send(self, event: Warmed | Block) -> None:
        """Send what was asked for."""


class BlockPacer:
    """Hands a training loop its batches; between two blocks the loop waits inside of ``next``.

    The loop's pass over the data never ends where its source can begin again, so that it neither
    evaluates nor reports.

    Args:
        run: The training.
        orders: The way to the coordinator.
        started: Tells what is in force, once the first batch was asked for.
        queues: Know the workers that batches come from.
    """

    def __init__(self, run: TrialRun, *, orders: Orders, started: Callable[[], Started], queues: WorkerQueues) -> None:
        self._run = run
        self._device = run.device
        self._orders = orders
        self._started = started
        self._watch = DeviceWatch(run.device)
        self._phases = Phases(run.device)
        self._passes = Passes(run.device, phases=self._phases, queues=queues)
        self._queues = queues
        self._rounds = WorkerRounds()
        self._attention = AttentionWatch(is_wanted="sdpa_backend" in run.order.parameters)
        self._program = self._race()
        self._open: list[Source] = []
        """The sources of the loop's passes that have not ended, in the order in which they began."""
        self._cached: Batch | None = None
        self._fed: set[Feed] = set()
        self._last_feed: Feed | None = None
        self._losses: list[list[Tensor]] = []
        self._is_over = False
        """The loop has finished this step; what it does until it asks for the next batch is its own."""
        self._is_optimizer_apart = False
        """The loop has told when it stepped its optimizer."""
        self.num_steps = 0
        """Steps since the weights were last those that the seed gave."""

    @property
    def has_begun(self) -> bool:
        """The loop has asked for a batch."""
        return bool(self._passes.start_seconds)

    @property
    def is_asking(self) -> bool:
        """Whether a batch is being asked for."""
        return inspect.getgeneratorstate(self._program) == inspect.GEN_RUNNING

    def pace(self, source: Source) -> Iterator[Batch]:
        """The batches of all blocks to come, or of those that this source is good for.

        Raises:
            TaskError: The loop asks for more while a pass that was begun later is open: it draws from both.
        """
        self._passes.enter(source)
        self._open.append(source)
        self._phases.resume()
        try:
            for batch in self._program:
                if batch is None:
                    return
                yield batch
                if self._open[-1] is not source:  # the next batch would be the other pass's
                    raise TaskError(
                        "trial.loader: a race takes its batches from one pass over the training data, got two side by "
                        "side; let one dataset give what belongs together, such as torch.utils.data.StackDataset"
                    )
        finally:
            self._open = [other for other in self._open if other is not source]
            # The loop goes about its own business: evaluation, a report.
            self._phases.pause()

    def see_loss(self, loss: Tensor) -> None:
        """Keep the loss on the device; a copy, since the memory may be a captured graph's own."""
        if self._losses:
            self._losses[-1].append(loss.detach().clone())

    def begin_optimizer(self) -> None:
        """Forward and backward are over."""
        self._phases.mark("compute")

    def end_optimizer(self) -> None:
        """The optimizer has stepped."""
        self._phases.mark("optimizer")
        self._is_over = self._is_optimizer_apart = True

    def end_whole(self) -> None:
        """Forward, backward and the optimizer are over, and nobody knows when each was."""
        self._phases.mark("compute")
        self._is_over = True

    def _race(self) -> Batches:
        """Warm up, then train a block for each order, for as long as the process lives."""
        try:
            yield from self._warm_up()
            while True:
                order = self._orders.next_block()
                yield from self._get_ready(order.feed)
                yield from self._train(order)
                self._last_feed = order.feed
        finally:
            self._passes.leave()

    def _warm_up(self) -> Batches:
        """Train until steps have settled, put the start's state back, and tell what the start cost."""
        start = StartState(self._run.checkpoint.objects, device=self._device)
        began = time.perf_counter()
        steps = yield from self._settle("real")
        seconds = time.perf_counter() - began
        settled = settled_seconds(steps)
        step_seconds = settled.wait + settled.work
        later_starts = sum(self._passes.start_seconds[1:])
        start.put_back()
        if not start.is_empty:
            self.num_steps = 0
        epoch_start = self._measure_epoch_start(step_seconds=step_seconds)
        started = self._started()
        self._orders.send(
            Warmed(
                in_force=started.in_force | self._unread(),
                device=started.device,
                start_seconds=max(0.0, seconds - later_starts - len(steps) * step_seconds),
                epoch_start_seconds=max(0.0, epoch_start - settled.wait),
                steps_per_epoch=self._passes.source.num_batches,
                peak_memory_bytes=peak_memory_bytes(self._device),
                held_memory_bytes=held_memory_bytes(self._device),
            )
        )

    def _unread(self) -> dict[str, Scalar]:
        """The knobs, and the batch size, that the training never asked for: it trains as it would without them.

        So it does with any backend of attention where its model has none.

        A task's own knobs may be read where its samples are made, in a worker, which is not seen here. Whether
        workers stay is tried together with their number (``racing/stages/screening.py``), and must not sink that.
        """
        unread = {name for name in self._run.params.unread if name in KNOBS or name == "batch_size"}
        unread = unread if "num_workers" in unread else unread - {"persistent_workers"}
        return dict.fromkeys(unread | ({"sdpa_backend"} if self._attention.has_seen_none else set()), UNREAD)

    def _settle(self, feed: Feed) -> Generator[Batch | None, None, list[StepSeconds]]:
        """Train until the steps take equally long: compilation and cuDNN's search are over."""
        steps: list[StepSeconds] = []
        while not has_settled(steps, is_recording=self._run.will_record):
            starts = sum(self._passes.start_seconds)
            asked = time.perf_counter()
            batch = yield from self._next(feed)
            came = time.perf_counter()
            with self._attention.over_first_step():
                yield from self._step(batch)
            synchronize(self._device)
            wait = came - asked - (sum(self._passes.start_seconds) - starts)
            steps.append(StepSeconds(wait=max(0.0, wait), work=time.perf_counter() - came))
        self._fed.add(feed)
        return steps

    def _measure_epoch_start(self, *, step_seconds: float) -> float:
        """Seconds from the end of a pass until the first batch of the next one."""
        if not self._passes.source.can_restart:
            return self._passes.start_seconds[-1]
        # Twice, since one may be unlucky; a start of seconds is told apart from others by one.
        for _ in range(2):
            self._passes.restart(step_seconds=step_seconds)
            if self._passes.start_seconds[-1] > _LONG_START_SECONDS:
                return self._passes.start_seconds[-1]
        return statistics.median(self._passes.start_seconds[-2:])

    def _get_ready(self, feed: Feed) -> Batches:
        """Do what a feed needs before its first block, and a recording before each."""
        if feed == "half" and feed not in self._fed:
            with _static_shapes():
                yield from self._settle(feed)
        yield from self._record(feed)

    def _record(self, feed: Feed) -> Batches:
        """Train the steps that a recording takes, so that none is in a block: the start's state was put back."""
        for _ in range(MAX_STEPS):
            if not self._run.will_record:
                return
            batch = yield from self._next(feed)
            yield from self._step(batch)

    def _train(self, order: RunBlock) -> Batches:
        """Train one block, and send its figures."""
        if order.feed == "real":
            yield from self._lead_in(order)
        counts, load, first_step = read_counts(self._device), read_load(), self.num_steps
        num_samples = 0
        self._losses, self._passes.fetch_seconds = [], 0.0
        self._queues.begin_round()
        self._phases.start()
        while not self._is_full(order, num_steps=self.num_steps - first_step):
            batch = yield from self._next(order.feed)
            num_samples += count_samples(batch)
            self._losses.append([])
            yield from self._step(batch)
        self._answer(order.feed, first_step=first_step, num_samples=num_samples, counts=counts, load=load)

    def _lead_in(self, order: RunBlock) -> Batches:
        """Train what comes before a block, without its pause in between: one step where the queue was drained."""
        was_drained = self._last_feed != "real"
        if was_drained:
            self._passes.drain()
        began, number = time.perf_counter(), 0
        num_wanted = self._rounds.steps_before(self._queues.num_workers)
        while (was_drained and number == 0) or (
            number < num_wanted and self._rounds.may_go_on(seconds=time.perf_counter() - began, least=order.seconds)
        ):
            # After a drain the workers refill the queue while the loop waits for its first batch.
            batch = yield from self._next("real")
            yield from self._step(batch)
            number += 1
        self._rounds.begin()

    def _is_full(self, order: RunBlock, *, num_steps: int) -> bool:
        """Whether a block of so many steps is over."""
        seconds = self._phases.seconds
        if num_steps < order.min_steps or seconds < order.seconds:
            return False
        is_whole = order.feed != "real" or self._queues.is_round_whole
        return is_whole or not self._rounds.may_go_on(seconds=seconds, least=order.seconds)

    def _answer(self, feed: Feed, *, first_step: int, num_samples: int, counts: Counts, load: float | None) -> None:
        """Send the figures of the block that has just been trained."""
        split = self._phases.stop()
        if feed == "real":
            self._rounds.end(seconds=self._phases.seconds, wait_seconds=split.get("data_wait", 0.0))
        losses, self._losses = _read_losses(self._losses), []
        now = read_counts(self._device)
        clock_mhz, temperature_celsius = read_clock_and_temperature(self._watch, device=self._device)
        self._orders.send(
            Block(
                feed=feed,
                steps=self.num_steps - first_step,
                samples=num_samples,
                seconds=self._phases.seconds,
                data_wait_seconds=split.get("data_wait", 0.0),
                fetch_seconds=self._passes.fetch_seconds,
                copy_seconds=split.get("copy", 0.0),
                compute_seconds=split.get("compute", 0.0),
                optimizer_seconds=split.get("optimizer", 0.0) if self._is_optimizer_apart else None,
                first_step=first_step,
                losses=losses,
                peak_memory_bytes=peak_memory_bytes(self._device),
                allocator_retries=now.allocator_retries - counts.allocator_retries,
                recompilations=now.graphs - counts.graphs,
                load=load,
                clock_mhz=clock_mhz,
                temperature_celsius=temperature_celsius,
            )
        )

    def _next(self, feed: Feed) -> Generator[Batch | None, None, Batch]:
        """The next batch of this feed; the first real one is kept for the other feeds."""
        if feed != "real":
            return self._kept(feed)
        while (batch := self._passes.draw()) is None:
            yield None
        if self._cached is None:
            self._cached = batch
        return batch

    def _kept(self, feed: Feed) -> Batch:
        """The batch that stays on the device, or the first half of it where it can be cut."""
        batch = self._cached
        num_samples = count_samples(batch)
        if feed == "cached" or num_samples < LEAST_CUT or not can_be_cut(batch):
            return batch
        return next(micro_batches(batch, size=num_samples // 2))

    def _step(self, batch: Batch) -> Batches:
        """Let the loop train on this batch, until it asks for the next one."""
        self._is_over = False
        yield batch
        # A loop that steps its optimizer by itself tells no phase.
        self._phases.mark("rest" if self._is_over else "compute")
        self._phases.end_step()
        self.num_steps += 1


@contextmanager
def _static_shapes() -> Iterator[None]:
    """Compile a second shape for itself, where torch.compile would make a graph of any shape of it.

    That graph would be taken for whole batches too from then on, and it is the slower one.
    """
    import torch._dynamo.config as dynamo_config

    with dynamo_config.patch(automatic_dynamic_shapes=False):
        yield


def _read_losses(losses: list[list[Tensor]]) -> tuple[float, ...]:
    """The loss of each step, summed over its micro-batches; waits for the device once."""
    losses = losses[:_MAX_LOSSES]
    shares = [share for step in losses for share in step]
    if not shares or not all(losses):
        return ()
    values = iter(torch.stack([share.float() for share in shares]).tolist())
    return tuple(sum(next(values) for _ in step) for step in losses)
