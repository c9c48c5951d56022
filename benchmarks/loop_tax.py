"""What a training loop costs: ours, Lightning's and Accelerate's against one written by hand.

All train the mnist task's network (``benchmarks/loops.py`` says how), and each is compared with the hand-written
loop by blocks that alternate (``autotune.speed.compare``), a whole run a block; below 1 the loop is slower. With
``--overhead`` the model costs next to nothing, and what a loop adds to a step and to a run is told in microseconds
and milliseconds, which holds on a busy machine too (``benchmarks/loop_overhead.py``).

    python benchmarks/loop_tax.py [--quads 8] [--epochs 2] [--threads 0] [--loops ours lightning ...] [--overhead]
"""

import argparse
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from autotune.events import Block, Feed, Scalar, Warmed
from autotune.speed import compare
from autotune.speed.measuring.statistics import median_interval
from autotune.training.process.loading import load_task
from benchmarks.figures import figure, header
from benchmarks.loop_overhead import print_overhead
from benchmarks.loops import LOOPS, PARAMS, Loop, Setting, run_by_hand

_TASK = "autotune.tasks.mnist:Mnist"


class Runner:
    """A contestant whose block is one whole run of a loop."""

    def __init__(self, loop: Loop, setting: Setting) -> None:
        self.setting: Mapping[str, Scalar] = {}
        self.is_retired = False
        self._loop = loop
        self._of_loop = setting
        self._samples = setting.epochs * len(setting.target.train_data(PARAMS))  # type: ignore[arg-type]
        self._train()
        self.warmed = Warmed(
            in_force={}, device="cpu", start_seconds=0, epoch_start_seconds=0, steps_per_epoch=None, peak_memory_bytes=0
        )
        self.training_seconds: list[float | None] = []

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """Train once."""
        del seconds, min_steps
        whole, training = self._train()
        self.training_seconds.append(training)
        return Block(
            feed=feed,
            steps=1,
            samples=self._samples,
            seconds=whole,
            data_wait_seconds=0,
            copy_seconds=0,
            compute_seconds=whole,
            optimizer_seconds=None,
        )

    def retire(self) -> None:
        """It holds nothing."""

    def _train(self) -> tuple[float, float | None]:
        # No loop is charged for the removal of its folder: a trial keeps it.
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            training = self._loop(self._of_loop, Path(folder) / "trial")
            return time.perf_counter() - began, training


def training_ratios(by_hand: Runner, other: Runner) -> list[float]:
    """The log-ratio of each quad over training alone; nothing where a loop does not tell its training apart."""
    seconds = [[second for second in runner.training_seconds if second] for runner in (by_hand, other)]
    quads = range(0, min(map(len, seconds)), 2)
    means = [[statistics.fmean(map(math.log, each[quad : quad + 2])) for quad in quads] for each in seconds]
    return [hand - loop for hand, loop in zip(*means, strict=True)]


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quads", type=int, default=8, help="blocks of four runs a line")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 keeps its default")
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=list(LOOPS))
    parser.add_argument("--overhead", action="store_true", help="of a step and a run whose model costs next to nothing")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")  # Lightning advises on workers, batch sizes and folders
    print(header("lightning", "accelerate"))
    if arguments.overhead:
        print_overhead(arguments.loops, rounds=2 * arguments.quads)
    else:
        print_ratios(arguments.loops, quads=arguments.quads, epochs=arguments.epochs)


def print_ratios(names: list[str], *, quads: int, epochs: int) -> None:
    """A line for each batch size, number of workers and loop."""
    task = load_task(_TASK)
    task.setup()
    print(f"{torch.get_num_threads()} threads, {4 * quads} runs a line")
    print("throughput of a loop / of a hand-written one: ratio [95 % interval]")
    for batch_size in (64, 256):
        for num_workers in (0, 2):
            setting = Setting(task=task, batch_size=batch_size, num_workers=num_workers, epochs=epochs)
            for name in names:
                hand, other = (Runner(loop, setting) for loop in (run_by_hand, LOOPS[name]))
                whole = compare(hand, other, quads=quads)
                line = f"batch {batch_size:3d}, {num_workers} workers, {name:20s} whole run "
                line += figure(whole.ratio, whole.interval)
                if ratios := training_ratios(hand, other):
                    low, high = map(math.exp, median_interval(ratios, confidence=0.95))
                    line += f", training {figure(math.exp(statistics.median(ratios)), (low, high))}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
