"""Trials as the tests of this room run them: in this process, with a channel that remembers."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from autotune.events import EpochReport, Event, Finished, Outcome, Progress, Scalar, Started, Stop, TrialOrder
from autotune.goals import Resource, Target
from autotune.training.checkpoints.checkpoint_file import read_checkpoint
from autotune.training.process.loading import LoadedTask
from autotune.training.process.run import run_trial
from autotune.training.task import Task
from autotune.training.trial import Trial

Kind = TypeVar("Kind", Started, Progress, EpochReport)

INTERRUPTED = Stop(outcome=Outcome.INTERRUPTED, reason="the study was stopped")
PRUNED = Stop(outcome=Outcome.PRUNED, reason="epoch 1 was worse than the median")


class KilledError(BaseException):
    """Stands for the end of the process: nothing in the trial may catch it."""


class Recorder:
    """Remembers events; asks to stop, or dies, when it was looked at so often; dies at an event of a kind."""

    def __init__(
        self,
        *,
        stop: Stop = INTERRUPTED,
        stop_after: int | None = None,
        dies: Callable[[Event], bool] | None = None,
        dies_after: int | None = None,
    ) -> None:
        self.opened_at = time.monotonic()
        self.events: list[Event] = []
        self._stop = stop
        self._stop_after = stop_after
        self._dies = dies
        self._dies_after = dies_after
        self._looks = 0

    def send(self, event: Event) -> None:
        if self._dies is not None and self._dies(event):
            raise KilledError("killed")
        self.events.append(event)

    @property
    def stop(self) -> Stop | None:
        self._looks += 1
        if self._dies_after is not None and self._looks > self._dies_after:
            raise KilledError("killed")
        return self._stop if self._stop_after is not None and self._looks > self._stop_after else None

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass(frozen=True)
class Trained:
    finished: Finished
    channel: Recorder
    folder: Path

    @property
    def started(self) -> Started:
        (started,) = self.channel.of(Started)
        return started

    @property
    def reports(self) -> list[EpochReport]:
        return self.channel.of(EpochReport)

    @property
    def metrics(self) -> list[dict[str, float]]:
        return [report.metrics for report in self.reports]

    @property
    def weights(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = read_checkpoint(self.folder / "checkpoint.pt")["objects"]["model"]
        return weights


@dataclass(frozen=True)
class Ends:
    """What ends a trial before its epochs do."""

    targets: tuple[Target, ...] = ()
    resource: Resource = "epochs"
    per_trial: int | None = None


def order(
    folder: Path,
    parameters: Mapping[str, Scalar] | None = None,
    *,
    epochs: int = 3,
    seed: int = 7,
    objective_metrics: tuple[str, ...] = ("val_loss",),
    ends: Ends | None = None,
) -> TrialOrder:
    return TrialOrder(
        study="study",
        number=0,
        task="given",
        parameters=dict(parameters or {}),
        objective_metrics=objective_metrics,
        targets=ends.targets if ends else (),
        epochs=epochs,
        resource=ends.resource if ends else "epochs",
        per_trial=ends.per_trial if ends else None,
        seed=seed,
        device="cpu",
        folder=str(folder),
    )


def loaded(task: Task | Callable[[Trial], None]) -> LoadedTask:
    return LoadedTask(kind="class" if isinstance(task, Task) else "function", target=task, reference="given")


def train(
    task: Task | Callable[[Trial], None],
    folder: Path,
    parameters: Mapping[str, Scalar] | None = None,
    *,
    channel: Recorder | None = None,
    epochs: int = 3,
    seed: int = 7,
    objective_metrics: tuple[str, ...] = ("val_loss",),
    ends: Ends | None = None,
) -> Trained:
    channel = channel or Recorder()
    trial_order = order(folder, parameters, epochs=epochs, seed=seed, objective_metrics=objective_metrics, ends=ends)
    return Trained(run_trial(trial_order, task=loaded(task), channel=channel), channel, folder)


def is_same_weights(first: Trained, second: Trained) -> bool:
    """To the last bit."""
    one, other = first.weights, second.weights
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def is_report_of_epoch_2(event: Event) -> bool:
    return isinstance(event, EpochReport) and event.epoch == 2
