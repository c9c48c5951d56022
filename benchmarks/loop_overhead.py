"""What a training loop adds to a step and to a run of two epochs, where the model itself costs next to nothing.

Whole runs of a real model tell a loop's cost as a share, and a busy machine moves them by more than that share. Here
each step notes when its forward pass begins, and the tenth percentile of the time from one to the next is compared:
a step of 0.2 ms is seldom interrupted, and what other processes take is in the slower nine tenths. The rest (set-up,
reports, checkpoints, the wait for the last of them) shows in the length of runs of few steps.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from typing_extensions import override

from autotune.speed.measuring.statistics import median_interval
from autotune.training import Task
from autotune.training.parameters import Parameters
from autotune.training.process.loading import LoadedTask
from benchmarks.loops import LOOPS, Loop, Setting, run_by_hand

_BATCH_SIZE = 8
_EPOCHS = 2
_LONG, _SHORT = 500, 10
"""Steps of an epoch, where steps are timed and where the rest is."""
_QUANTILE = 0.1
BY_HAND = "by hand"


class Dots(Task):
    """Two classes of points and one linear layer; it notes when each step's forward pass began."""

    def __init__(self, *, num_steps: int) -> None:
        self.num_steps = num_steps
        self.began: list[float] = []
        inputs = torch.randn(num_steps * _BATCH_SIZE, 4, generator=torch.Generator().manual_seed(0))
        self._data = TensorDataset(inputs, (inputs.sum(dim=1) > 0).long())

    @override
    def train_data(self, params: Parameters) -> TensorDataset:
        """Enough for the steps of an epoch."""
        del params
        return self._data

    @override
    def validation_data(self, params: Parameters) -> TensorDataset:
        """One batch."""
        del params
        return TensorDataset(*self._data[:_BATCH_SIZE])

    @override
    def model(self, params: Parameters) -> nn.Module:
        """Ten weights."""
        del params
        return _Noting(self.began)


class _Noting(nn.Linear):
    def __init__(self, began: list[float]) -> None:
        super().__init__(4, 2)
        self._began = began

    @override
    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            self._began.append(time.perf_counter())
        return super().forward(input)


@dataclass(frozen=True)
class Cost:
    """Of one loop: a value for each round, in the order of the rounds."""

    step_microseconds: list[float]
    run_milliseconds: list[float]


def measure(names: list[str], *, rounds: int) -> Mapping[str, Cost]:
    """The cost of these loops and of the one by hand; in each round all of them run, each time in another order."""
    loops: dict[str, Loop] = {BY_HAND: run_by_hand} | {name: LOOPS[name] for name in names}
    costs = {name: Cost([], []) for name in loops}
    long, short = Dots(num_steps=_LONG), Dots(num_steps=_SHORT)
    for number in range(-1, rounds):  # the first round warms up
        ordered = list(loops)
        turn = number % len(ordered)
        for name in ordered[turn:] + ordered[:turn]:
            long.began.clear()
            _seconds(loops[name], long)
            seconds = _seconds(loops[name], short)
            if number >= 0:
                costs[name].step_microseconds.append(1e6 * _typical_step(long.began))
                costs[name].run_milliseconds.append(1e3 * seconds)
    return costs


def _seconds(loop: Loop, task: Dots) -> float:
    loaded = LoadedTask(kind="class", target=task, reference="benchmarks.loop_overhead:Dots")
    setting = Setting(task=loaded, batch_size=_BATCH_SIZE, num_workers=0, epochs=_EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        loop(setting, Path(folder) / "trial")
        return time.perf_counter() - began


def _typical_step(began: list[float]) -> float:
    epochs = [began[start : start + _LONG] for start in range(0, len(began), _LONG)]
    steps = sorted(after - before for epoch in epochs for before, after in pairwise(epoch))
    return steps[int(len(steps) * _QUANTILE)]


def print_overhead(names: list[str], *, rounds: int) -> None:
    """A line for each loop: its step and its short run, and how much more they take than those by hand."""
    costs = measure(names, rounds=rounds)
    hand = costs[BY_HAND]
    print(f"{torch.get_num_threads()} threads, {rounds} rounds: 10th percentile of a step; a run of {_EPOCHS} epochs")
    for name, cost in costs.items():
        step = f"step {statistics.median(cost.step_microseconds):6.1f} us"
        run = f"run of {_EPOCHS * _SHORT} steps {statistics.median(cost.run_milliseconds):6.1f} ms"
        if cost is not hand:
            step += f", {_more(cost.step_microseconds, hand.step_microseconds)} us more"
            run += f", {_more(cost.run_milliseconds, hand.run_milliseconds)} ms more"
        print(f"{name:20s} {step}; {run}", flush=True)


def _more(values: list[float], by_hand: list[float]) -> str:
    differences = [value - hand for value, hand in zip(values, by_hand, strict=True)]
    low, high = median_interval(differences, confidence=0.95)
    return f"{statistics.median(differences):.1f} [{low:.1f}, {high:.1f}]"
