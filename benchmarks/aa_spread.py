"""How far apart two measurements of the same thing come out: ours, and one after the other.

A and B are the same training step (the mnist task's network with Adam, on pictures in memory), so
their true ratio is 1. Ours alternates blocks (``autotune.speed.compare``); the usual way times all of A
and then all of B, for as long in total. Both run in turn, repeat by repeat, while two processes of
this script's own keep the cores busy.

    python benchmarks/aa_spread.py [--repeats 30] [--quads 8] [--busy 2]
"""

import argparse
import math
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from autotune.speed import LocalContestant, compare
from autotune.tasks.mnist import Mnist
from autotune.training.parameters import Parameters
from benchmarks.figures import header, load

_BATCH_SIZE = 64
_BLOCK_SECONDS = 0.2
_RESAMPLES = 2000
_FEWEST_REPEATS = 10


class TrainingStep:
    """One step of training on one batch, again and again."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self._model = Mnist().model(Parameters({"width": 16}))
        self._optimizer = torch.optim.Adam(self._model.parameters())
        self._criterion = nn.CrossEntropyLoss()
        self._images = torch.randn(_BATCH_SIZE, 1, 28, 28)
        self._labels = torch.randint(10, (_BATCH_SIZE,))

    def __call__(self) -> int:
        """Train it; the samples of the batch."""
        self._optimizer.zero_grad()
        self._criterion(self._model(self._images), self._labels).backward()
        self._optimizer.step()
        return _BATCH_SIZE


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many processes counting; they are ended one by one, by their handles."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def one_after_the_other(first: LocalContestant, second: LocalContestant, *, seconds: float) -> float:
    """Throughput of the second over that of the first, each timed once."""
    before = first.run_block(seconds=seconds, min_steps=5)
    after = second.run_block(seconds=seconds, min_steps=5)
    return (after.samples / after.seconds) / (before.samples / before.seconds)


def spread(ratios: list[float]) -> tuple[float, float]:
    """The range in which 95 % of the ratios lie."""
    cuts = statistics.quantiles(ratios, n=40, method="inclusive")
    return cuts[0], cuts[-1]


def width(ratios: list[float]) -> float:
    """Of the spread, in logarithms, so that 2 and 1/2 are as far from 1."""
    low, high = spread(ratios)
    return math.log(high / low)


def interval(theirs: list[float], ours: list[float]) -> tuple[float, float]:
    """The bootstrap's 95 % interval of the ratio of the two widths; repeats are drawn as pairs."""
    generator = random.Random(0)  # noqa: S311 - no secret
    pairs = list(zip(theirs, ours, strict=True))
    drawn = (generator.choices(pairs, k=len(pairs)) for _ in range(_RESAMPLES))
    found = sorted(width([pair[0] for pair in sample]) / width([pair[1] for pair in sample]) for sample in drawn)
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES)]


def main() -> None:
    """Print both spreads and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--quads", type=int, default=8)
    parser.add_argument("--busy", type=int, default=2, help="processes that keep the cores busy")
    arguments = parser.parse_args()
    if arguments.repeats < _FEWEST_REPEATS:
        parser.error(
            f"--repeats: needs at least {_FEWEST_REPEATS} for a range that holds 95 %, got {arguments.repeats}"
        )
    torch.set_num_threads(1)
    print(header())
    print(f"one thread, {arguments.repeats} repeats of each in turn, {arguments.busy} busy processes")
    ours: list[float] = []
    theirs: list[float] = []
    ties = 0
    with busy_processes(arguments.busy):
        a, b = LocalContestant(TrainingStep()), LocalContestant(TrainingStep())
        for repeat in range(arguments.repeats):
            comparison = compare(a, b, quads=arguments.quads, seconds=_BLOCK_SECONDS)
            ours.append(comparison.ratio)
            ties += comparison.verdict == "tie"
            # Half of the quads' blocks are A's; and each of the two is first as often as the other.
            seconds = 2 * arguments.quads * _BLOCK_SECONDS
            theirs.append(
                1 / one_after_the_other(b, a, seconds=seconds)
                if repeat % 2
                else one_after_the_other(a, b, seconds=seconds)
            )
            print(f"{repeat + 1:3d}: alternating {ours[-1]:.3f}, one after the other {theirs[-1]:.3f}", flush=True)
    print(f"load at the end {load()}")
    print("ratio of A to A, the range that holds 95 % of the repeats")
    print(f"alternating blocks:   {_figure(ours)}; {ties} of {arguments.repeats} called a tie")
    print(f"one after the other:  {_figure(theirs)}")
    low, high = interval(theirs, ours)
    print(f"the second range is {width(theirs) / width(ours):.1f} [{low:.1f}, {high:.1f}] times as wide")


def _figure(ratios: list[float]) -> str:
    low, high = spread(ratios)
    return f"{low:.3f} to {high:.3f}, median {statistics.median(ratios):.3f}"


if __name__ == "__main__":
    main()
