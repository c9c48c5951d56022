"""The throughput meter: what an epoch took, what of it was waiting for data, and where it stands."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import length_hint
from typing import TypedDict

import torch
from torch import Tensor

from autotune.errors import TaskError
from autotune.events import Progress
from autotune.training.batches import Batch, count_samples
from autotune.training.machine.device import DeviceWatch, synchronize
from autotune.training.reporting.passes import Passes
from autotune.training.steps.pacing import Pacer, Source

_PROGRESS_SECONDS = 0.25


@dataclass(frozen=True)
class EpochMeasures:
    """What the meter saw of one epoch.

    Attributes:
        step: Optimizer steps of the trial up to the epoch's end.
        samples: Training samples of the epoch.
        seconds: Seconds of the passes over the training data.
        evaluation_seconds: Seconds from the last pass's end to the report.
        data_wait_share: Share of ``seconds`` in which the loop waited for data.
        step_seconds_p50: Median of the steps' seconds; None where no step was watched.
        step_seconds_p95: 95th percentile of the steps' seconds; None where no step was watched.
        trained_seconds: What the trial has trained so far; see ``Meter.trained_seconds``.
        trained_samples: Training samples of the trial so far.
    """

    step: int
    samples: int
    seconds: float
    evaluation_seconds: float
    data_wait_share: float
    step_seconds_p50: float | None
    step_seconds_p95: float | None
    trained_seconds: float
    trained_samples: int

    @property
    def samples_per_second(self) -> float:
        """Training throughput of the epoch; 0 where no batch was watched."""
        return self.samples / self.seconds if self.seconds > 0 else 0.0


class MeterState(TypedDict):
    """Where the meter stands, for a checkpoint."""

    epochs_done: int
    steps: int
    batch: int
    samples: int
    seconds: float
    wait_seconds: float
    step_seconds: Tensor
    trained_seconds: float
    trained_samples: int


class Meter:
    """Counts and times the batches of a training loop, epoch by epoch.

    It never waits for a device, except once at the end of a pass over the data: times of
    single steps on a CUDA device are those of launching, and even out over the epoch.
    """

    def __init__(
        self, *, device: torch.device, on_first_batch: Callable[[], None], on_progress: Callable[[Progress], None]
    ) -> None:
        self.epochs_done = 0
        self.steps = 0
        self.trained_samples = 0
        self._device = device
        self._on_first_batch = on_first_batch
        self._on_progress = on_progress
        self.device_watch = DeviceWatch(device)
        self.pacer: Pacer | None = None
        """Hands out the batches in a race, where nothing is measured here; None in a trial."""
        self._num_batches: int | None = None
        self._next_tick = 0.0
        self._resume_batch = 0
        self._made = time.perf_counter()
        self._ahead_seconds = 0.0
        """Seconds of waiting for data that were spent before the next pass, and count in it."""
        self._clock_began: float | None = None
        self._earlier_seconds = 0.0
        self._is_asking = False
        """A pass waits for its next batch."""
        self._passes_begun = 0
        self._clear()

    @property
    def trained_seconds(self) -> float:
        """Seconds since the first batch was asked for, over all processes of the trial; 0 before that."""
        return self._earlier_seconds + (time.perf_counter() - self._clock_began if self._clock_began else 0.0)

    def _clear(self) -> None:
        """Forget what was measured of the epoch."""
        self._passes = Passes()
        self._batch = 0
        self._samples = 0
        self._wait_seconds = 0.0
        self._step_seconds: list[float] = []
        self._can_wind = False

    @property
    def is_between_epochs(self) -> bool:
        """Whether nothing was trained since the last report."""
        return self._passes.count == 0 and self._resume_batch == 0

    @property
    def can_resume_inside_epoch(self) -> bool:
        """Whether the epoch had one pass so far, from a loader that can start at any batch."""
        return self._passes.count == 1 and self._can_wind

    def watch(
        self,
        batches: Iterable[Batch],
        *,
        num_batches: int | None,
        change: Callable[[Batch], Batch] | None = None,
        wind: Callable[[int, int], None] | None = None,
        can_resume: bool = True,
    ) -> Iterator[Batch]:
        """Hand on the batches, and time them; ``change`` (a copy to the device) counts as waiting for data.

        Args:
            batches: One pass over the training data.
            num_batches: Length of a whole pass; None where it is unknown.
            change: Applied to each batch.
            wind: Called with the epoch and the first batch wanted, before iteration starts;
                without it, a pass always starts at the first batch.
            can_resume: Whether the batches have an order, so that a later process can go on inside it.

        Raises:
            TaskError: The batches come from another pass, such as one over ``trial.loader``, and would count twice.
        """
        number = self._begin_pass(num_batches, wind)
        self._can_wind = wind is not None and can_resume
        if self.pacer is not None:
            self._passes.count += 1
            yield from self.pacer.pace(Source(batches, num_batches=num_batches, change=change, wind=wind))
            return
        clock = time.perf_counter
        asked = clock() - self._take_ahead_seconds()
        self._passes.open(number, at=asked)
        self._is_asking = True
        try:
            iterator = iter(batches)
            for batch in iterator:
                self._is_asking = False
                if change is not None:
                    batch = change(batch)  # noqa: PLW2901 - the loop's own name would keep the host copy alive
                self._wait_seconds += clock() - asked
                self._count(batch, number)
                yield batch
                asked = self._end_step(number, asked=asked)
                self._is_asking = True
        finally:
            self._is_asking = False
            self._end_pass(number)

    def add_ahead(self, seconds: float) -> None:
        """Count, in the next pass, seconds in which its first batch was waited for before it."""
        self._ahead_seconds += seconds

    def _take_ahead_seconds(self) -> float:
        """What the pass that begins has waited before; the trial's clock counts it from here on."""
        seconds, self._ahead_seconds = self._ahead_seconds, 0.0
        self._earlier_seconds += seconds
        return seconds

    def _begin_pass(self, num_batches: int | None, wind: Callable[[int, int], None] | None) -> int:
        """Note that a pass begins, and have the loader start at the batch that comes next; the pass's number.

        Raises:
            TaskError: The batches of one pass come from another one, and would count twice.
        """
        if self._is_asking or (self.pacer is not None and self.pacer.is_asking):
            raise TaskError(
                "trial.watch: batches are measured once, got those of trial.loader, which is measured already; "
                "iterate over that loader itself, inside of tqdm or the like if you want"
            )
        self._on_first_batch()
        if self._clock_began is None:
            self._clock_began = time.perf_counter()
        self._passes_begun += 1
        self._num_batches = num_batches
        self._batch, self._resume_batch = self._resume_batch, 0
        if wind is not None:
            wind(self.epochs_done + self._passes.count + 1, self._batch)
        return self._passes_begun

    def _end_step(self, number: int, *, asked: float) -> float:
        """Add up a step of the pass with this number, whose batch was asked for then; when the next one is asked for.

        A pass may go on in a new epoch: one over a stream, or an iterator that is asked for some batches at a time.
        What lies between (the end of a step, an evaluation, a report) counts as no step.
        """
        now = time.perf_counter()
        if self._passes.has_open(number):
            self._step_seconds.append(now - asked)
        else:
            self._can_wind = False
            self._passes.open(number, at=now)
        if now >= self._next_tick:
            self.tick()
        return now

    def _end_pass(self, number: int) -> None:
        """Wait for the device, and close the pass; one of a closed epoch counts no more."""
        synchronize(self._device)
        if self._passes.has_open(number):
            self._passes.close(number, at=time.perf_counter())

    def _count(self, batch: Batch, number: int) -> None:
        """Count a batch of the pass with this number."""
        if self._passes.take_batch(number):
            self._batch += 1
            self.steps += 1
        num_samples = count_samples(batch)
        self._samples += num_samples
        self.trained_samples += num_samples

    def tick(self) -> None:
        """Send the progress if the last was sent a quarter of a second ago."""
        now = time.perf_counter()
        if now < self._next_tick:
            return
        self._next_tick = now + _PROGRESS_SECONDS
        self.device_watch.sample()
        seconds = self._passes.seconds(now)
        self._on_progress(
            Progress(
                epoch=self.epochs_done + max(self._passes.count, 1),
                fraction=min(1.0, self._batch / self._num_batches) if self._num_batches else 0.0,
                samples_per_second=self._samples / seconds if seconds > 0 else 0.0,
                data_wait_share=_share(self._wait_seconds, seconds),
            )
        )

    def close_epoch(self, epoch: int) -> EpochMeasures:
        """End the epoch and return its measures; the next pass belongs to the next epoch."""
        now = time.perf_counter()
        if self._clock_began is None:  # nothing was watched: all that the process has done counts
            self._clock_began = self._made
        quantiles = _quantiles(self._step_seconds)
        seconds = self._passes.seconds(now)
        measures = EpochMeasures(
            step=self.steps,
            samples=self._samples,
            seconds=seconds,
            evaluation_seconds=now - self._passes.ended if self._passes.ended is not None else 0.0,
            data_wait_share=_share(self._wait_seconds, seconds),
            step_seconds_p50=quantiles[0] if quantiles else None,
            step_seconds_p95=quantiles[1] if quantiles else None,
            trained_seconds=self.trained_seconds,
            trained_samples=self.trained_samples,
        )
        self.epochs_done = epoch
        self._resume_batch = 0
        self._clear()
        return measures

    def state_dict(self) -> MeterState:
        """Where the epoch stands, for the checkpoint."""
        return {
            "epochs_done": self.epochs_done,
            "steps": self.steps,
            "batch": self._batch,
            "samples": self._samples,
            "seconds": self._passes.seconds(time.perf_counter()),
            "wait_seconds": self._wait_seconds,
            "step_seconds": torch.tensor(self._step_seconds, dtype=torch.float64),
            "trained_seconds": self.trained_seconds,
            "trained_samples": self.trained_samples,
        }

    def load_state_dict(self, state: MeterState) -> None:
        """Go on from a checkpoint; the next pass starts at the batch after the last one counted."""
        self._clear()
        self.epochs_done = state["epochs_done"]
        self.steps = state["steps"]
        self._resume_batch = state["batch"]
        self._samples = state["samples"]
        self._passes = Passes(seconds=state["seconds"])
        self._wait_seconds = state["wait_seconds"]
        self._step_seconds = state["step_seconds"].tolist()
        self._earlier_seconds = state["trained_seconds"]
        self.trained_samples = state["trained_samples"]


def count_batches(batches: Iterable[Batch]) -> int | None:
    """The number of batches of a pass; None where it is unknown, as for a DataLoader over a stream."""
    try:
        return length_hint(batches, 0) or None
    except NotImplementedError:
        return None


def _share(part: float, whole: float) -> float:
    """``part`` divided by ``whole``, at most 1; 0 where there is no whole."""
    return min(1.0, part / whole) if whole > 0 else 0.0


def _quantiles(values: list[float]) -> tuple[float, float] | None:
    """The median and the 95th percentile, by the nearest rank; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
