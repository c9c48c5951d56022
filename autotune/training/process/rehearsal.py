"""A try of a task before a study starts, so that its faults show at once and in one line."""

from collections.abc import Mapping, Sized
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from autotune.errors import TaskError
from autotune.events import Rehearsal, Scalar
from autotune.training.batches import Batch, describe, leading_sizes, mover
from autotune.training.machine.device import open_device
from autotune.training.parameters import Parameters
from autotune.training.process.loading import LoadedTask
from autotune.training.references import blaming
from autotune.training.rng import seed_everything, undisturbed_rng
from autotune.training.steps.models import checkpoint_bytes
from autotune.training.steps.optimizers import make_optimizer
from autotune.training.task import Task

_NUM_SAMPLES = 8
_LEAST_TO_TELL = 3
"""Least number of samples in a batch whose dimensions tell which of them counts the samples."""


def rehearse(task: LoadedTask, *, parameters: Mapping[str, Scalar], device: str) -> Rehearsal:
    """Build data and model, and take one small batch through loss, gradient and metrics.

    A function task is only inspected: it has no metric names before it runs.

    Raises:
        TaskError: Something of the task is missing, empty or of a wrong type, or raised.
    """
    task.setup()
    target = task.target
    if not isinstance(target, Task):
        return Rehearsal(metric_names=())
    place = open_device(device)
    with undisturbed_rng(place):
        seed_everything(0)
        return _Rehearsed(task.reference, target, Parameters(parameters), place).rehearse()


class _Rehearsed:
    def __init__(self, reference: str, task: Task, params: Parameters, device: torch.device) -> None:
        self._where = f"task {reference}"
        self._task = task
        self._params = params
        self._device = device

    def rehearse(self) -> Rehearsal:
        """Make the task's parts in the order in which a trial makes them, and take one step with them."""
        task, params = self._task, self._params
        with blaming(self._where, "train_data()"):
            train_data = task.train_data(params)
        with blaming(self._where, "validation_data()"):
            validation_data = task.validation_data(params)
        sizes = self._count(train_data, "train_data"), self._count(validation_data, "validation_data")
        with blaming(self._where, "model()"):
            model = task.model(params)
        if not isinstance(model, nn.Module):
            raise self._error(f"model() must return a torch.nn.Module, got {type(model).__name__}")
        model = model.to(self._device)
        with blaming(self._where, "optimizer()"):
            optimizer = task.optimizer(model, params) or make_optimizer(model, params)
        batch = self._batch(train_data)
        self._check_samples_first(train_data, batch, num_samples=min(sizes[0], _NUM_SAMPLES))
        self._train(model, batch)
        with blaming(self._where, "the optimizer's step"):
            optimizer.step()
        names = self._evaluate(model, self._batch(validation_data))
        return Rehearsal(
            metric_names=("train_loss", *names),
            num_train_samples=sizes[0],
            num_validation_samples=sizes[1],
            checkpoint_bytes=checkpoint_bytes(model),
            batch=describe(batch),
        )

    def _count(self, dataset: Dataset[Any], method: str) -> int:
        """The number of samples; raises TaskError for a stream and for an empty dataset."""
        kind = type(dataset).__name__
        is_stream = isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__")
        if is_stream or not isinstance(dataset, Sized):
            remedy = "a stream is for a function train(trial), with its own DataLoader in trial.watch"
            raise self._error(f"{method}() must return a dataset with __len__ and __getitem__, got {kind}; {remedy}")
        with blaming(self._where, f"len({method}())"):
            num_samples = len(dataset)
        if num_samples == 0:
            raise self._error(f"{method}() must return at least one sample, got an empty {kind}")
        return num_samples

    def _check_samples_first(self, dataset: Dataset[Any], batch: Batch, *, num_samples: int) -> None:
        """Refuse batches (T, N, ...), which would be counted, and cut into micro-batches, by their time steps.

        A second batch with one sample less shows whether the second dimension has this size by chance.
        """
        sizes = leading_sizes(batch)
        if num_samples < _LEAST_TO_TELL or sizes[1:] != (num_samples,):
            return
        fewer = leading_sizes(self._batch(dataset, num_samples=num_samples - 1))
        if fewer == (sizes[0], num_samples - 1):
            got = f"got {describe(batch)} of {num_samples} samples"
            remedy = "let collate() put samples first, and turn the batch round in forward()"
            raise self._error(f"the first dimension of a batch must be its samples, {got}; {remedy}")

    def _batch(self, dataset: Dataset[Any], *, num_samples: int = _NUM_SAMPLES) -> Batch:
        """The first samples as a batch on the device."""
        with blaming(self._where, "loading a batch"):
            batch = next(iter(DataLoader(dataset, batch_size=num_samples, collate_fn=self._task.collate)))
        move = mover(self._device, channels_last=False)
        return batch if move is None else move(batch)

    def _train(self, model: nn.Module, batch: Batch) -> None:
        """Take the batch through forward, loss and backward."""
        model.train()
        with blaming(self._where, "forward()"):
            outputs, targets = self._task.forward(model, batch)
        with blaming(self._where, "loss()"):
            loss: object = self._task.loss(outputs, targets)
        if not isinstance(loss, Tensor) or loss.dim() != 0:
            shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise self._error(f"loss() must return a scalar tensor, got {shape}; take the mean")
        self._check_count(batch)
        with blaming(self._where, "loss().backward()"):
            loss.backward()  # type: ignore[no-untyped-call]

    def _check_count(self, batch: Batch) -> None:
        """Raise TaskError where the task's ``count`` of the batch is no positive number."""
        with blaming(self._where, "count()"):
            count: object = self._task.count(batch)
            is_right = isinstance(count, int | Tensor) and torch.as_tensor(count).dim() == 0 and bool(count > 0)
        if not is_right:
            raise self._error(
                f"count() must return one number above 0, got {count!r}; count what the loss is a mean of"
            )

    def _evaluate(self, model: nn.Module, batch: Batch) -> list[str]:
        """Take the batch through the task's ``evaluate``; returns the metrics' names as they are recorded."""
        model.eval()
        with torch.inference_mode(), blaming(self._where, "evaluate()"):
            values = self._task.evaluate(model, [batch])
        for name, value in values.items():
            if isinstance(value, Tensor) and value.numel() != 1:
                raise self._error(f"metric {name}: must be one number, got a tensor of shape {tuple(value.shape)}")
        return [f"val_{name}" for name in values]

    def _error(self, message: str) -> TaskError:
        return TaskError(f"{self._where}: {message}")
