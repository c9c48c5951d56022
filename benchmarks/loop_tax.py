"""What a training loop costs: ours, Lightning's and Accelerate's against one written by hand.

All train the mnist task's network with Adam, with the same batches and workers, and evaluate after each
epoch. Ours is driven through ``run_trial`` as in a trial's process, with reports, checkpoints and progress;
only the pipe is missing. Lightning's Trainer and Accelerate run twice: bare (no logger, checkpoint, progress
bar or summary), and recording about what ours does (a CSV log and a checkpoint each epoch for Lightning,
``save_state`` each epoch for Accelerate). Each is compared with the hand-written loop by blocks that
alternate (``autotune.speed.compare``), a whole run a block; below 1 the loop is slower.

    python benchmarks/loop_tax.py [--quads 8] [--epochs 2] [--threads 0] [--loops ours lightning ...]
"""

import argparse
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from typing_extensions import override

from autotune.events import Block, EpochReport, Event, Feed, Outcome, Scalar, Stop, TrialOrder, Warmed
from autotune.speed import compare
from autotune.speed.statistics import median_interval
from autotune.tasks.mnist import Mnist
from autotune.training.loading import load_task
from autotune.training.parameters import Parameters
from autotune.training.run import run_trial
from benchmarks.figures import figure, header

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

_TASK = "autotune.tasks.mnist:Mnist"
_LR = 1e-3
_WIDTH = 16
_PARAMS = Parameters({"width": _WIDTH})


@dataclass(frozen=True)
class Setting:
    """What all loops are run with."""

    batch_size: int
    num_workers: int
    epochs: int


Loop: TypeAlias = Callable[[Mnist, Setting], float | None]
"""Trains once; returns the seconds of training without evaluation, where the loop tells them."""


class Silence:
    """A channel that keeps the reports and says nothing."""

    stop: Stop | None = None

    def __init__(self) -> None:
        self.reports: list[EpochReport] = []

    def send(self, event: Event) -> None:
        """Keep it if it is a report."""
        if isinstance(event, EpochReport):
            self.reports.append(event)


def run_ours(task: Mnist, setting: Setting) -> float:
    """A trial, from its order to its outcome."""
    del task  # it is loaded already, and its setup was run
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
        finished = run_trial(order, task=_LOADED, channel=channel)
    assert finished.outcome is Outcome.COMPLETE, finished
    return sum(report.seconds for report in channel.reports)


def run_by_hand(task: Mnist, setting: Setting) -> float:
    """The same training as anyone would write it down."""
    model, optimizer, train, validation = _parts(task, setting)
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
        _ = total.item(), _evaluate(model, validation)
    return training_seconds


def run_lightning(task: Mnist, setting: Setting, *, is_recording: bool) -> None:
    """Lightning's Trainer over the same parts."""
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model, optimizer, train, validation = _parts(task, setting)
    module = _lightning_module(model, optimizer, is_recording=is_recording)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=setting.epochs,
            logger=CSVLogger(folder) if is_recording else False,
            callbacks=[ModelCheckpoint(dirpath=folder)] if is_recording else None,
            enable_checkpointing=is_recording,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        ).fit(module, train, validation)


def _lightning_module(  # noqa: C901 - the methods of the class within count as branches
    model: nn.Module, optimizer: Optimizer, *, is_recording: bool
) -> "LightningModule":
    from lightning.pytorch import LightningModule

    criterion = nn.CrossEntropyLoss()

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        @override
        def configure_optimizers(self) -> Optimizer:
            return optimizer

        @override
        def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
            loss: Tensor = criterion(self.model(batch[0]), batch[1])
            if is_recording:
                self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        @override
        def on_validation_epoch_start(self) -> None:
            self.sums = torch.zeros(3)

        @override
        def validation_step(self, batch: tuple[Tensor, ...], _: int) -> None:
            outputs, num_samples = self.model(batch[0]), len(batch[1])
            self.sums[0] += criterion(outputs, batch[1]) * num_samples
            self.sums[1] += (outputs.argmax(dim=1) == batch[1]).sum()
            self.sums[2] += num_samples

        @override
        def on_validation_epoch_end(self) -> None:
            loss, accuracy = (self.sums[:2] / self.sums[2]).tolist()
            if is_recording:
                self.log_dict({"val_loss": loss, "val_accuracy": accuracy})

    return Module()


def run_accelerate(task: Mnist, setting: Setting, *, is_recording: bool) -> float:
    """The hand-written loop with its parts prepared by Accelerate."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer, train, validation = accelerator.prepare(*_parts(task, setting))
    criterion = nn.CrossEntropyLoss()
    training_seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(setting.epochs):
            epoch_began = time.perf_counter()
            model.train()
            total = torch.zeros(())
            for images, labels in train:
                optimizer.zero_grad()
                loss = criterion(model(images), labels)
                accelerator.backward(loss)
                optimizer.step()
                total += loss.detach() * len(labels)
            training_seconds += time.perf_counter() - epoch_began
            _ = total.item(), _evaluate(model, validation)
            if is_recording:
                accelerator.save_state(str(Path(folder) / str(epoch)))
    return training_seconds


LOOPS: Mapping[str, Loop] = {
    "ours": run_ours,
    "lightning": lambda task, setting: run_lightning(task, setting, is_recording=False),
    "lightning-recording": lambda task, setting: run_lightning(task, setting, is_recording=True),
    "accelerate": lambda task, setting: run_accelerate(task, setting, is_recording=False),
    "accelerate-recording": lambda task, setting: run_accelerate(task, setting, is_recording=True),
}


def _parts(
    task: Mnist, setting: Setting
) -> tuple[nn.Module, Optimizer, DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    torch.manual_seed(0)
    model = task.model(_PARAMS)
    size, workers = setting.batch_size, setting.num_workers
    train = DataLoader[tuple[Tensor, ...]](task.train_data(_PARAMS), batch_size=size, shuffle=True, num_workers=workers)
    validation = DataLoader[tuple[Tensor, ...]](task.validation_data(_PARAMS), batch_size=size, num_workers=workers)
    return model, torch.optim.Adam(model.parameters(), lr=_LR), train, validation


def _evaluate(model: nn.Module, validation: DataLoader[tuple[Tensor, ...]]) -> tuple[float, float]:
    criterion = nn.CrossEntropyLoss()
    model.eval()
    correct, loss = torch.zeros(()), torch.zeros(())
    with torch.inference_mode():
        for images, labels in validation:
            outputs = model(images)
            loss += criterion(outputs, labels) * len(labels)
            correct += (outputs.argmax(dim=1) == labels).sum()
    return loss.item(), correct.item()


class Runner:
    """A contestant whose block is one whole run of a loop."""

    def __init__(self, loop: Loop, task: Mnist, setting: Setting) -> None:
        self.setting: Mapping[str, Scalar] = {}
        self.is_retired = False
        self._train: Callable[[], float | None] = lambda: loop(task, setting)
        self._samples = setting.epochs * len(task.train_data(_PARAMS))
        self._train()
        self.warmed = Warmed(
            in_force={}, device="cpu", start_seconds=0, epoch_start_seconds=0, steps_per_epoch=None, peak_memory_bytes=0
        )
        self.training_seconds: list[float | None] = []

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        """Train once."""
        del seconds, min_steps
        began = time.perf_counter()
        training = self._train()
        whole = time.perf_counter() - began
        self.training_seconds.append(training)
        return Block(
            feed=feed,
            steps=1,
            samples=self._samples,
            seconds=whole,
            data_wait_seconds=0,
            copy_seconds=0,
            compute_seconds=whole,
            optimizer_seconds=0,
        )

    def retire(self) -> None:
        """It holds nothing."""


def training_ratios(by_hand: Runner, other: Runner) -> list[float]:
    """The log-ratio of each quad over training alone; nothing where a loop does not tell its training apart."""
    seconds = [[second for second in runner.training_seconds if second] for runner in (by_hand, other)]
    quads = range(0, min(map(len, seconds)), 2)
    means = [[statistics.fmean(map(math.log, each[quad : quad + 2])) for quad in quads] for each in seconds]
    return [hand - loop for hand, loop in zip(*means, strict=True)]


def main() -> None:
    """Print a line for each batch size, number of workers and loop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quads", type=int, default=8, help="blocks of four runs a line")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 keeps its default")
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=list(LOOPS))
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")  # Lightning advises on workers, batch sizes and folders
    assert isinstance(_LOADED.target, Mnist)
    _LOADED.setup()
    print(header("lightning", "accelerate"))
    print(f"{torch.get_num_threads()} threads, {4 * arguments.quads} runs a line")
    print("throughput of a loop / of a hand-written one: ratio [95 % interval]")
    for batch_size in (64, 256):
        for num_workers in (0, 2):
            setting = Setting(batch_size=batch_size, num_workers=num_workers, epochs=arguments.epochs)
            for name in arguments.loops:
                hand, other = (Runner(loop, _LOADED.target, setting) for loop in (run_by_hand, LOOPS[name]))
                whole = compare(hand, other, quads=arguments.quads)
                line = f"batch {batch_size:3d}, {num_workers} workers, {name:20s} whole run "
                line += figure(whole.ratio, whole.interval)
                if ratios := training_ratios(hand, other):
                    low, high = map(math.exp, median_interval(ratios, confidence=0.95))
                    line += f", training {figure(math.exp(statistics.median(ratios)), (low, high))}"
                print(line, flush=True)


_LOADED = load_task(_TASK)


if __name__ == "__main__":
    main()
