"""What one contestant does: its throughput, and what its steps spend their time on."""

import math
import statistics
from dataclasses import dataclass

from autotune.errors import InputError
from autotune.events import Block, Feed, Warmed
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import compare, seconds_per_sample
from autotune.speed.measuring.local import Step, as_contestant
from autotune.speed.measuring.statistics import Range, median_interval, range_of


@dataclass(frozen=True)
class Measurement:
    """Figures of one contestant alone.

    Its interval knows the noise from block to block, not how the machine differs from one minute to the
    next: two measurements say little about which of two settings is faster, and ``compare`` does.
    """

    samples_per_second: float
    """Throughput, with each epoch's start charged to its samples."""
    interval: Range
    """Least and greatest that ``samples_per_second`` may truly be, at ``confidence``."""
    confidence: float
    data_wait_share: float
    """Share of the blocks' time, 0 to 1, in which a step waits for the loader."""
    copy_share: float
    """Share of the blocks' time in which batches are brought to the device."""
    compute_share: float
    """Share of forward and backward; of the optimizer too, where that is not told apart."""
    optimizer_share: float | None
    """Share of the optimizer; None where a step is one call, or does not go through ``trial.step``; see ``Block``."""
    peak_memory_bytes: int
    allocator_retries: int
    """How often CUDA's allocator had to free its cache, over all blocks."""
    recompilations: int
    """How often a step was compiled anew, over all blocks; a contestant that is warm has none."""
    start_seconds: float
    """Seconds that a training pays once; they are no part of the throughput."""
    epoch_start_seconds: float
    load: Range | None
    """The host's load average, least and greatest; None where it has none."""
    clock_mhz: Range | None
    temperature_celsius: Range | None
    blocks: tuple[Block, ...]


def measure(
    contestant: Contestant | Step,
    *,
    blocks: int = 6,
    seconds: float = 0.2,
    min_steps: int = 5,
    confidence: float = 0.95,
    feed: Feed = "real",
) -> Measurement:
    """The throughput of a contestant, or of a function that trains one step, over some blocks.

    Args:
        contestant: Who trains, or a function that trains one step and returns the samples that it took (None: one).
        blocks: How many are trained, one after the other.
        seconds: Least wall-clock length of a block.
        min_steps: Fewest steps of a block.
        confidence: How often the interval holds the true throughput.
        feed: Where the batches come from; a function has its own.

    Raises:
        ContestantLostError: The contestant can't go on.
        InputError: There are fewer than two blocks, or the confidence is not at least 0.5 and below 1.
    """
    if blocks < 2 or not 0.5 <= confidence < 1:  # noqa: PLR2004 - one block has no spread; see compare
        raise InputError(
            f"measure: needs blocks >= 2 and 0.5 <= confidence < 1, got {blocks} and {confidence}; take 6 and 0.95"
        )
    subject = as_contestant(contestant)
    done = tuple(subject.run_block(seconds=seconds, min_steps=min_steps, feed=feed) for _ in range(blocks))
    return measured(done, subject.warmed, confidence=confidence)


def measured(done: tuple[Block, ...], warmed: Warmed, *, confidence: float = 0.95) -> Measurement:
    """The figures of blocks that one contestant has trained."""
    speeds = [-math.log(seconds_per_sample(block, warmed)) for block in done]
    low, high = median_interval(speeds, confidence=confidence)
    total = sum(block.seconds for block in done)
    return Measurement(
        samples_per_second=math.exp(statistics.median(speeds)),
        interval=(math.exp(low), math.exp(high)),
        confidence=confidence,
        data_wait_share=sum(block.data_wait_seconds for block in done) / total,
        copy_share=sum(block.copy_seconds for block in done) / total,
        compute_share=sum(block.compute_seconds for block in done) / total,
        optimizer_share=_optimizer_share(done, total=total),
        peak_memory_bytes=max(block.peak_memory_bytes for block in done),
        allocator_retries=sum(block.allocator_retries for block in done),
        recompilations=sum(block.recompilations for block in done),
        start_seconds=warmed.start_seconds,
        epoch_start_seconds=warmed.epoch_start_seconds,
        load=range_of(block.load for block in done),
        clock_mhz=range_of(block.clock_mhz for block in done),
        temperature_celsius=range_of(block.temperature_celsius for block in done),
        blocks=done,
    )


def noise_floor(
    a: Contestant | Step,
    twin: Contestant | Step,
    *,
    quads: int = 8,
    seconds: float = 0.2,
    min_steps: int = 5,
    confidence: float = 0.95,
) -> float:
    """The share by which two contestants of one setting seem to differ at most: within it, a difference is a tie.

    It is the far end of the interval of A against A, so it holds what noise does to a median of so many
    quads, and what two processes of the same program differ by (where their memory happens to lie).
    """
    return compare(a, twin, quads=quads, seconds=seconds, min_steps=min_steps, confidence=confidence).half_width


def _optimizer_share(done: tuple[Block, ...], *, total: float) -> float | None:
    """The optimizer's share of the blocks' time; None where one of them does not tell it apart."""
    seconds = [block.optimizer_seconds for block in done if block.optimizer_seconds is not None]
    return sum(seconds) / total if len(seconds) == len(done) else None
