"""What our training loop costs: its throughput against a hand-written loop of the same training.

Both train the mnist task's network with Adam, the same batches and workers, and evaluate after
each epoch. Ours is driven through ``run_trial`` as in a trial's process, with reports, checkpoints
and progress; only the pipe is missing. Runs alternate (AB, BA, AB ...) and the figure is the
median of the ratios of neighbours, with a bootstrap interval of 95 %.

    python benchmarks/loop_tax.py [--pairs 12] [--epochs 2] [--threads 0]
"""

import argparse
import platform
import random
import statistics
import tempfile
import time
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader

from autotune.events import EpochReport, Event, Outcome, Scalar, Stop, TrialOrder
from autotune.tasks.mnist import Mnist
from autotune.training.loading import LoadedTask, load_task
from autotune.training.parameters import Parameters
from autotune.training.run import run_trial

_TASK = "autotune.tasks.mnist:Mnist"
_LR = 1e-3
_WIDTH = 16


@dataclass(frozen=True)
class Run:
    """Samples per second of one run: over its training alone, and over all that it did."""

    training: float
    whole: float


@dataclass(frozen=True)
class Setting:
    """What both loops are run with."""

    batch_size: int
    num_workers: int
    epochs: int


class Silence:
    """A channel that keeps the reports and says nothing."""

    stop: Stop | None = None

    def __init__(self) -> None:
        self.reports: list[EpochReport] = []

    def send(self, event: Event) -> None:
        """Keep it if it is a report."""
        if isinstance(event, EpochReport):
            self.reports.append(event)


def run_ours(task: LoadedTask, setting: Setting) -> Run:
    """A trial, from its order to its outcome."""
    parameters: dict[str, Scalar] = {
        "optimizer": "adam",
        "lr": _LR,
        "width": _WIDTH,
        "batch_size": setting.batch_size,
        "num_workers": setting.num_workers,
    }
    channel = Silence()
    with tempfile.TemporaryDirectory() as folder:
        order = TrialOrder(
            study="loop_tax",
            number=0,
            task=_TASK,
            parameters=parameters,
            objective_metrics=("val_accuracy",),
            epochs=setting.epochs,
            seed=0,
            device="cpu",
            folder=folder,
        )
        began = time.perf_counter()
        finished = run_trial(order, task=task, channel=channel)
        seconds = time.perf_counter() - began
    assert finished.outcome is Outcome.COMPLETE, finished
    samples = sum(report.samples for report in channel.reports)
    return Run(training=samples / sum(report.seconds for report in channel.reports), whole=samples / seconds)


def run_by_hand(task: Mnist, setting: Setting) -> Run:
    """The same training as anyone would write it down."""
    params = Parameters({"width": _WIDTH})
    began = time.perf_counter()
    torch.manual_seed(0)
    model = task.model(params)
    train_data, validation_data = task.train_data(params), task.validation_data(params)
    train = DataLoader(train_data, batch_size=setting.batch_size, shuffle=True, num_workers=setting.num_workers)
    validation = DataLoader(validation_data, batch_size=setting.batch_size, num_workers=setting.num_workers)
    optimizer = torch.optim.Adam(model.parameters(), lr=_LR)
    criterion = nn.CrossEntropyLoss()
    training_seconds = 0.0
    for _ in range(setting.epochs):
        epoch_began = time.perf_counter()
        model.train()
        total = torch.zeros(())
        for images, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(labels)
        training_seconds += time.perf_counter() - epoch_began
        model.eval()
        correct, validation_loss = torch.zeros(()), torch.zeros(())
        with torch.inference_mode():
            for images, labels in validation:
                outputs = model(images)
                validation_loss += criterion(outputs, labels) * len(labels)
                correct += (outputs.argmax(dim=1) == labels).sum()
        _ = total.item(), validation_loss.item(), correct.item()
    samples = setting.epochs * len(train_data)
    return Run(training=samples / training_seconds, whole=samples / (time.perf_counter() - began))


def compare(task: LoadedTask, setting: Setting, *, pairs: int) -> list[tuple[Run, Run]]:
    """Runs of both (ours first in each pair), alternating which goes first, after one of each that is not counted."""
    assert isinstance(task.target, Mnist)
    run_ours(task, setting)
    run_by_hand(task.target, setting)
    measured = []
    for pair in range(pairs):
        if pair % 2:
            by_hand = run_by_hand(task.target, setting)
            measured.append((run_ours(task, setting), by_hand))
        else:
            ours = run_ours(task, setting)
            measured.append((ours, run_by_hand(task.target, setting)))
    return measured


def interval(ratios: list[float], *, resamples: int = 2000) -> tuple[float, float]:
    """The bootstrap's 95 % interval of the median."""
    generator = random.Random(0)  # noqa: S311 - no secret
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(resamples))
    return medians[int(0.025 * resamples)], medians[int(0.975 * resamples)]


def main() -> None:
    """Print one line for each batch size and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 keeps its default")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    task = load_task(_TASK)
    task.setup()
    print(f"{platform.platform()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {arguments.pairs} pairs of runs a line")
    print("throughput of a trial / of a hand-written loop, median [95 % interval]")
    for batch_size in (64, 256):
        for num_workers in (0, 2):
            setting = Setting(batch_size=batch_size, num_workers=num_workers, epochs=arguments.epochs)
            measured = compare(task, setting, pairs=arguments.pairs)
            training = [ours.training / hand.training for ours, hand in measured]
            whole = [ours.whole / hand.whole for ours, hand in measured]
            speed = statistics.median(hand.training for _, hand in measured)
            print(
                f"batch {batch_size:3d}, {num_workers} workers: "
                f"training {_figure(training)}, whole run {_figure(whole)}, by hand {speed:,.0f} samples/s",
                flush=True,
            )


def _figure(ratios: list[float]) -> str:
    low, high = interval(ratios)
    return f"{statistics.median(ratios):.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
