"""How many quads of how long blocks a comparison takes best, and what it saves to end a hopeless one.

First, in the same time: A against A, two contestants of one setting, by few long blocks and by many
short ones, in turn. How far the ratios come out from 1, and how wide their intervals are.

Then the screening of a challenger that is truly faster by so much: how often it is found, and what that takes,
with and without an end where it is out of reach. It meets the quads that were measured in blocks of a race's
length, neighbours of one comparison each time, with its gain added; the noise floor comes from another one.

    python benchmarks/screening.py [--workloads NAME ...] [--repeats 6]

Takes two to three minutes a workload.
"""

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autotune.events import Block, Feed, Scalar, Warmed
from autotune.speed import Comparison, compare, noise_floor
from autotune.speed.measuring.comparison import is_clear
from autotune.speed.racing.heats.enough import is_settled
from autotune.speed.racing.pace import Pace
from benchmarks.figures import header, load
from benchmarks.race_exhaustive import WORKLOADS, Workload, open_ground

_PACE = Pace()
_SHAPES = ((0.2, 5), (0.1, 10), (0.05, 20))
"""Seconds of a block, and quads: as long in all, where steps are short."""
_PAIRS = 2
"""Of contestants: what two processes of one program differ by is noise too."""
_GAINS = (-0.05, 0.0, 0.03, 0.05, 0.1, 0.15)
_DRAWS = 1000


@dataclass
class Series:
    """What comparisons of A with A came to, by blocks of one length."""

    runs: list[tuple[float, ...]] = field(default_factory=list)
    """The log-ratios of each comparison's quads; the true ones are 0."""
    half_widths: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    """What each comparison took."""

    @property
    def off(self) -> float:
        """How far the ratios came out from 1: root mean square, of logarithms."""
        return math.sqrt(statistics.fmean(statistics.median(run) ** 2 for run in self.runs))

    @property
    def quad_seconds(self) -> float:
        """What a quad takes."""
        return sum(self.seconds) / sum(len(run) for run in self.runs)


_STEPS = 10
"""Of a replayed block, at least: as where steps take 10 ms. Of longer ones a screening takes five quads to give up."""


class Replayed:
    """A contestant whose blocks take what quads that were measured say, with a gain of its own."""

    setting: Mapping[str, Scalar] = {}
    is_retired = False
    warmed = Warmed(
        in_force={}, device="", start_seconds=0, epoch_start_seconds=0, steps_per_epoch=None, peak_memory_bytes=0
    )

    def __init__(self, log_ratios: Sequence[float]) -> None:
        self._log_ratios = log_ratios
        self._num_blocks = 0

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """The next one: two of every quad are this contestant's."""
        del seconds
        took = math.exp(-self._log_ratios[self._num_blocks // 2])
        self._num_blocks += 1
        return Block(
            feed=feed,
            steps=max(min_steps, _STEPS),
            samples=1,
            seconds=took,
            data_wait_seconds=0,
            copy_seconds=0,
            compute_seconds=took,
            optimizer_seconds=None,
        )

    def retire(self) -> None:
        """Nothing is held."""


def measure_shapes(workload: Workload, *, repeats: int) -> dict[float, Series]:
    """A against A by each shape in turn; by the seconds of a block."""
    found = {seconds: Series() for seconds, _ in _SHAPES}
    with open_ground(workload) as ground:
        baseline = ground.plan(seconds=0).baseline
        for _ in range(_PAIRS):
            a, b = ground.arena.enter(baseline), ground.arena.enter(baseline)
            for _ in range(repeats):
                for seconds, quads in _SHAPES:
                    began = time.monotonic()
                    comparison = compare(a, b, quads=quads, seconds=seconds, confidence=_PACE.screen_confidence)
                    series = found[seconds]
                    series.seconds.append(time.monotonic() - began)
                    series.runs.append(comparison.log_ratios)
                    series.half_widths.append(comparison.half_width)
            a.retire()
            b.retire()
    return found


def screen(
    series: Series, *, gain: float, is_decided: Callable[[Comparison], bool], generator: random.Random
) -> Comparison:
    """A screening as in a race, of a challenger that is truly faster by ``gain``."""
    floor_quads, quads, confidence = _PACE.floor_quads, _PACE.screen_quads, _PACE.screen_confidence
    floor = noise_floor(
        Replayed([0.0] * floor_quads),
        Replayed(_neighbours(series, floor_quads, generator)),
        quads=floor_quads,
        confidence=confidence,
    )
    challenger = [log_ratio + math.log1p(gain) for log_ratio in _neighbours(series, quads, generator)]
    return compare(
        Replayed([0.0] * quads),
        Replayed(challenger),
        quads=quads,
        confidence=confidence,
        noise_floor=floor,
        is_decided=is_decided,
    )


def _neighbours(series: Series, count: int, generator: random.Random) -> Sequence[float]:
    run = generator.choice(series.runs)
    start = generator.randrange(len(run) - count + 1)
    return run[start : start + count]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["mnist1d-32", "augmented-16", "mnist-256"]
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=names)
    parser.add_argument("--repeats", type=int, default=6, help="of each shape, for each of two pairs of contestants")
    arguments = parser.parse_args()
    print(header())
    print(f"{_PAIRS} pairs of contestants, {arguments.repeats} repeats of each shape in turn\n")
    print("| workload | blocks of | quads | off from 1 (rms) | half of the interval of 80 % (median) | takes | load |")
    print("|---|---|---|---|---|---|---|")
    measured = {}
    for name in arguments.workloads:
        measured[name] = measure_shapes(WORKLOADS[name], repeats=arguments.repeats)
        for seconds, quads in _SHAPES:
            series = measured[name][seconds]
            off, half, took = series.off, statistics.median(series.half_widths), statistics.fmean(series.seconds)
            print(f"| {name} | {seconds} s | {quads} | {off:.1%} | {half:.1%} | {took:.1f} s | {load()} |", flush=True)
    print(f"\n| workload | ends | {' | '.join(f'{gain:+.0%}' for gain in _GAINS)} |")
    print(f"|---|---|{'---|' * len(_GAINS)}")
    for name, shapes in measured.items():
        series = shapes[_PACE.block_seconds]
        for words, is_decided in (("where it is clear", is_clear), ("or out of reach", is_settled)):
            print(f"| {name} | {words} | {' | '.join(_cell(series, gain, is_decided) for gain in _GAINS)} |")


def _cell(series: Series, gain: float, is_decided: Callable[[Comparison], bool]) -> str:
    """How often the gain is found, and the mean seconds that it takes."""
    generator = random.Random(0)  # noqa: S311 - no secret
    done = [screen(series, gain=gain, is_decided=is_decided, generator=generator) for _ in range(_DRAWS)]
    found = sum(comparison.verdict == "faster" for comparison in done) / _DRAWS
    took = statistics.fmean(comparison.num_quads for comparison in done) * series.quad_seconds
    return f"{found:.0%}, {took:.1f} s"


if __name__ == "__main__":
    main()
