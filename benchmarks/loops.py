"""The training loops that a benchmark compares: ours, one written by hand, Lightning's and Accelerate's.

All train the same task's network with Adam, with the same batches and workers, and evaluate after each
epoch. Ours is driven through ``run_trial`` as in a trial's process, with reports, checkpoints and progress, which go
through a trial's own channel to a process that reads them, on the same cores; what a coordinator does with them
(``load.py``) is left out. Lightning's Trainer and Accelerate run twice: bare (no logger, checkpoint, progress
bar or summary), and recording about what ours does (a CSV log and a checkpoint each epoch for Lightning,
``save_state`` each epoch for Accelerate).
"""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from typing_extensions import override

from autotune.events import Block, EpochReport, Event, Outcome, Rehearsal, Scalar, TrialOrder, Warmed
from autotune.training import Task
from autotune.training.parameters import Parameters
from autotune.training.process.loading import LoadedTask
from autotune.training.process.run import run_trial
from autotune.trial.channel import PipeChannel

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

_LR = 1e-3
_WIDTH = 16
PARAMS = Parameters({"width": _WIDTH})
_READ = """
import socket, sys
from autotune.events import decode
for line in socket.socket(fileno=int(sys.argv[1])).makefile("rb"):
    decode(line)
"""
"""What a coordinator does with each event at least."""


@dataclass(frozen=True)
class Setting:
    """What all loops are run with."""

    task: LoadedTask
    """Set up."""
    batch_size: int
    num_workers: int
    epochs: int

    @property
    def target(self) -> Task:
        """The task itself."""
        assert isinstance(self.task.target, Task)
        return self.task.target


Loop: TypeAlias = Callable[[Setting, Path], float | None]
"""Trains once, into a new folder; returns the seconds of training without evaluation, where the loop tells them."""


class Told(PipeChannel):
    """A trial's channel that keeps the reports, too."""

    def __init__(self, events: socket.socket) -> None:
        super().__init__(events)
        self.reports: list[EpochReport] = []

    @override
    def send(self, event: Event | Rehearsal | Warmed | Block) -> None:
        if isinstance(event, EpochReport):
            self.reports.append(event)
        super().send(event)


@cache
def _reader() -> socket.socket:
    """A socket whose other end a process reads and decodes, until this one ends."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen([sys.executable, "-c", _READ, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    return ours


def run_ours(setting: Setting, folder: Path) -> float:
    """A trial, from its order to its outcome."""
    parameters: dict[str, Scalar] = {
        "optimizer": "adam",
        "lr": _LR,
        "width": _WIDTH,
        "batch_size": setting.batch_size,
        "num_workers": setting.num_workers,
    }
    order = TrialOrder(
        study="loop_tax",
        number=0,
        task=setting.task.reference,
        parameters=parameters,
        objective_metrics=("val_accuracy",),
        epochs=setting.epochs,
        seed=0,
        device="cpu",
        folder=str(folder),
    )
    with Told(_reader()) as channel:
        finished = run_trial(order, task=setting.task, channel=channel)
    assert finished.outcome is Outcome.COMPLETE, finished
    return sum(report.seconds for report in channel.reports)


def run_by_hand(setting: Setting, folder: Path) -> float:
    """The same training as anyone would write it down, which records nothing."""
    del folder
    model, optimizer, train, validation = _parts(setting)
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


def run_lightning(setting: Setting, folder: Path, *, is_recording: bool) -> None:
    """Lightning's Trainer over the same parts."""
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import CSVLogger

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model, optimizer, train, validation = _parts(setting)
    module = _lightning_module(model, optimizer, is_recording=is_recording)
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


def run_accelerate(setting: Setting, folder: Path, *, is_recording: bool) -> float:
    """The hand-written loop with its parts prepared by Accelerate."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer, train, validation = accelerator.prepare(*_parts(setting))
    criterion = nn.CrossEntropyLoss()
    training_seconds = 0.0
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
            accelerator.save_state(str(folder / str(epoch)))
    return training_seconds


LOOPS: Mapping[str, Loop] = {
    "ours": run_ours,
    "lightning": partial(run_lightning, is_recording=False),
    "lightning-recording": partial(run_lightning, is_recording=True),
    "accelerate": partial(run_accelerate, is_recording=False),
    "accelerate-recording": partial(run_accelerate, is_recording=True),
}
"""What is compared with the loop by hand."""


def _parts(
    setting: Setting,
) -> tuple[nn.Module, Optimizer, DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    torch.manual_seed(0)
    task, size, workers = setting.target, setting.batch_size, setting.num_workers
    model = task.model(PARAMS)
    train = DataLoader[tuple[Tensor, ...]](task.train_data(PARAMS), batch_size=size, shuffle=True, num_workers=workers)
    validation = DataLoader[tuple[Tensor, ...]](task.validation_data(PARAMS), batch_size=size, num_workers=workers)
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
