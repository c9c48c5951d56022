"""Batches of a training loop's own source, pass after pass, with the start of each pass timed apart."""

import time
from collections.abc import Iterator

import torch

from autotune.errors import TaskError
from autotune.speed.contestant.worker_queues import WorkerQueues
from autotune.training.batches import Batch, count_samples
from autotune.training.machine.device import synchronize
from autotune.training.reporting.phases import Phases
from autotune.training.steps.pacing import Source

_REST_SECONDS = 1.0
"""Most seconds that workers are given to finish their batches before a pass is begun anew."""


class Passes:
    """Draws batches; begins the source again at its end, without the loop noticing.

    A last batch that is smaller than the others is left out: it would be a graph of its own for
    torch.compile and a search of its own for cuDNN, in the middle of a block.

    Args:
        device: Where the loop trains.
        phases: Times the parts of its steps.
        queues: Know the workers that batches come from.
    """

    def __init__(self, device: torch.device, *, phases: Phases, queues: WorkerQueues) -> None:
        self._device = device
        self._phases = phases
        self._queues = queues
        self._source: Source | None = None
        self._iterator: Iterator[Batch] | None = None
        self._epoch = 0
        self._num_taken = 0
        self._num_samples = 0
        self.start_seconds: list[float] = []
        """Seconds of the start of each pass so far, from the end of the one before until the first batch came."""
        self.fetch_seconds = 0.0
        """Seconds inside of the loader on the host, without starts of passes; who times a block sets it to 0."""

    @property
    def source(self) -> Source:
        """What the loop draws from now."""
        assert self._source is not None
        return self._source

    def enter(self, source: Source) -> None:
        """The loop has begun a pass of its own."""
        self._source = source
        self._iterator = None

    def leave(self) -> None:
        """End the pass, and the workers with it; nothing is drawn any more."""
        self._source = self._iterator = None

    def draw(self) -> Batch | None:
        """The next batch, on the device; None at the end of a source that can't begin again.

        The start of a pass is left out of the block that runs.
        """
        if self._iterator is not None:
            asked = time.perf_counter()
            batch = self._take()
            if batch is not None:
                self.fetch_seconds += time.perf_counter() - asked
                self._phases.mark("data_wait")
                return self._bring(batch)
            self._phases.pause()
            if not self.source.can_restart:
                return None
        self._phases.pause()
        batch = self._begin(self._epoch + 1)
        self._phases.resume()
        return self._bring(batch)

    def restart(self, *, step_seconds: float) -> None:
        """End the pass here, and begin the first one anew; its first batch is left out.

        Args:
            step_seconds: What a step takes; the workers get so much time for each batch that they have in
                work, so that the start is timed and not those batches.
        """
        time.sleep(min(_REST_SECONDS, self._queues.num_prefetched * step_seconds))
        self._begin(1)

    def drain(self) -> None:
        """Draw and leave out what the workers have ready: a pre-filled queue flatters a slow loader."""
        num_ready = self._queues.num_prefetched
        for _ in range(min(num_ready, self.source.num_batches or num_ready)):
            if self._iterator is None or self._take() is None:
                if not self.source.can_restart:
                    return
                self._begin(self._epoch + 1)

    def _begin(self, epoch: int) -> Batch:
        """Begin a pass, and time its start; its first batch."""
        synchronize(self._device)
        began = time.perf_counter()
        self._iterator = None  # its workers end here, if they do not stay for the next pass
        self._epoch = epoch
        self._iterator = self.source.begin(epoch)
        batch = next(self._iterator, None)
        if batch is None:
            raise TaskError("trial.watch: a race needs batches, got none in a whole pass; check the loader")
        self.start_seconds.append(time.perf_counter() - began)
        self._num_taken = 1
        self._num_samples = count_samples(batch)
        return batch

    def _take(self) -> Batch | None:
        """The pass's next batch; None at its end."""
        assert self._iterator is not None
        if self._num_taken == self.source.num_batches:
            self._phases.pause()  # ending the workers belongs to the pass, not to a step
        batch = next(self._iterator, None)
        self._num_taken += 1
        is_last = self._num_taken == self.source.num_batches
        is_ragged = batch is not None and is_last and count_samples(batch) != self._num_samples
        return None if is_ragged else batch

    def _bring(self, batch: Batch) -> Batch:
        """The batch as the loop wants it, such as on the device."""
        change = self.source.change
        if change is None:
            return batch
        batch = change(batch)
        self._phases.mark("copy")
        return batch
