"""What a checkpoint costs an epoch: how long ``trial.report`` holds the training thread up, and when it is on the disk.

A trial with Adam's state of so many megabytes trains epochs of 0.3 s, or such that a write is over before the next.

    python benchmarks/checkpoint_cost.py [--megabytes 0.1 8 46 100 1000] [--epochs 6]
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field

import torch
from torch import nn

from autotune.events import EpochReport, Event, Outcome, Stop, TrialOrder
from autotune.training.process.loading import LoadedTask
from autotune.training.process.run import run_trial
from autotune.training.trial import Trial
from benchmarks.figures import header

_LAYERS = 20
_COPIES = 3
"""A weight and two averages of Adam's."""
_EPOCH_SECONDS = 0.3
_BYTES_PER_SECOND = 150e6
"""That a slow disk writes."""


@dataclass
class Clock:
    """The trial's channel: when each report was made, when it let go of the training thread, and when it was sent."""

    opened_at: float = field(default_factory=time.monotonic)
    stop: Stop | None = None
    made: list[float] = field(default_factory=list)
    went_on: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    def send(self, event: Event) -> None:
        """Note the time of a report: its checkpoint is on the disk."""
        if isinstance(event, EpochReport):
            self.sent.append(time.perf_counter())


def measure(megabytes: float, *, epochs: int) -> Clock:
    """Train, and note the times."""
    clock = Clock()
    side = max(1, int((megabytes * 1e6 / 4 / _COPIES / _LAYERS) ** 0.5))
    epoch_seconds = max(_EPOCH_SECONDS, megabytes * 1e6 / _BYTES_PER_SECOND)

    def train(trial: Trial) -> None:
        model = nn.Sequential(*[nn.Linear(side, side) for _ in range(_LAYERS)])
        optimizer = torch.optim.Adam(model.parameters())
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
        trial.checkpoint.restore(model=model, optimizer=optimizer)
        matrix = torch.zeros(100, 100)
        for epoch in range(1, trial.epochs + 1):
            ends = time.perf_counter() + epoch_seconds
            while time.perf_counter() < ends:
                matrix @ matrix
            clock.made.append(time.perf_counter())
            trial.report(epoch, val_loss=1.0)
            clock.went_on.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        order = TrialOrder(
            study="checkpoint_cost",
            number=0,
            task="benchmarks.checkpoint_cost",
            parameters={},
            objective_metrics=("val_loss",),
            epochs=epochs,
            seed=0,
            device="cpu",
            folder=folder,
        )
        task = LoadedTask(kind="function", target=train, reference="benchmarks.checkpoint_cost")
        finished = run_trial(order, task=task, channel=clock)
    assert finished.outcome is Outcome.COMPLETE, finished
    return clock


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", nargs="+", type=float, default=[0.1, 8, 46, 100, 1000])
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(header())
    for megabytes in arguments.megabytes:
        clock = measure(megabytes, epochs=arguments.epochs)
        held, written = (
            [1e3 * (after - before) for before, after in zip(clock.made, afters, strict=True)]
            for afters in (clock.went_on, clock.sent)
        )
        print(
            f"{megabytes:6g} MB: the training thread is held up for {held[0]:.1f} ms the first time, then for "
            f"{statistics.median(held[1:]):.1f} ms; on the disk after {statistics.median(written[1:]):.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
