from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from autotune.errors import TaskError
from autotune.events import Rehearsal
from autotune.training.batches import Batch
from autotune.training.parameters import Parameters
from autotune.training.process.rehearsal import rehearse
from autotune.training.task import Task
from tests.training.tasks import Noisy, Points, points
from tests.training.trials import loaded


def rehearsed(task: Task, **parameters: float) -> Rehearsal:
    return rehearse(loaded(task), parameters=parameters, device="cpu")


def test_rehearsal_tells_what_the_task_has() -> None:
    assert rehearsed(Points(), width=4) == Rehearsal(
        metric_names=("train_loss", "val_loss", "val_accuracy"),
        num_train_samples=42,
        num_validation_samples=10,
        checkpoint_bytes=3 * 38 * 4 + 40,  # parameters with their moments, and the buffers of BatchNorm
        batch="(8, 4) float32, (8) int64",
    )


def test_function_is_only_inspected() -> None:
    assert rehearse(loaded(lambda trial: None), parameters={}, device="cpu") == Rehearsal(metric_names=())  # noqa: ARG005


def test_rehearsal_disturbs_no_generator() -> None:
    before = torch.get_rng_state()
    rehearsed(Points())
    assert torch.equal(torch.get_rng_state(), before)


class NoData(Points):
    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return Noisy(*points(0, seed=0))


class NoDataset(Points):
    def train_data(self, params: Parameters) -> Any:
        return None


class Stream(IterableDataset[Any]):
    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Any]:
        return iter(range(3))


class Streaming(Points):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Stream()


class Unsized(Noisy):
    def __len__(self) -> int:
        raise NotImplementedError("how many, nobody knows")


class UnsizedData(Points):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Unsized(*points(3, seed=0))


class Closure(Points):
    def optimizer(self, model: nn.Module, params: Parameters) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(model.parameters())


class NoModel(Points):
    def model(self, params: Parameters) -> Any:
        return "resnet"


class MissingParameter(Points):
    def model(self, params: Parameters) -> nn.Module:
        return nn.Linear(4, params.width_of_layer)


class WrongShape(Points):
    def model(self, params: Parameters) -> nn.Module:
        return nn.Linear(5, 2)


class VectorLoss(Points):
    def loss(self, outputs: Any, targets: Any) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets, reduction="none")


class DetachedLoss(Points):
    def loss(self, outputs: Any, targets: Any) -> Tensor:
        return super().loss(outputs, targets).detach()


class CountlessBatch(Points):
    def count(self, batch: Batch) -> int:
        return 0


class CountEach(Points):
    def count(self, batch: Batch) -> Tensor:
        return torch.ones(2)


class VectorMetric(Points):
    def metrics(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        return {"hits": (outputs.argmax(dim=1) == targets).float()}


class BrokenMetric(Points):
    def metrics(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        raise ZeroDivisionError("no samples")


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (NoData(), r"validation_data\(\) must return at least one sample, got an empty Noisy"),
        (NoDataset(), r"train_data\(\) must return a dataset with __len__ and __getitem__, got NoneType"),
        (Streaming(), r"train_data\(\) must return a dataset .*, got Stream; a stream is for a function"),
        (UnsizedData(), r"len\(train_data\(\)\) raised NotImplementedError: how many, nobody knows"),
        (Closure(), r"the optimizer's step raised TypeError: .*closure"),
        (NoModel(), r"model\(\) must return a torch\.nn\.Module, got str"),
        (
            MissingParameter(),
            r"model\(\) raised AttributeError: this trial has no parameter 'width_of_layer'.*rehearsal\.py:\d+",
        ),
        (WrongShape(), r"forward\(\) raised RuntimeError: mat1 and mat2 shapes cannot be multiplied \(8x4 and 5x2\)$"),
        (VectorLoss(), r"loss\(\) must return a scalar tensor, got \(8,\); take the mean"),
        (DetachedLoss(), r"loss\(\)\.backward\(\) raised RuntimeError"),
        (CountlessBatch(), r"count\(\) must return one number above 0, got 0; count what the loss is a mean of"),
        (CountEach(), r"count\(\) must return one number above 0, got tensor\(\[1\., 1\.\]\)"),
        (VectorMetric(), r"metric hits: must be one number, got a tensor of shape \(8,\)"),
        (BrokenMetric(), r"evaluate\(\) raised ZeroDivisionError: no samples \(.*test_rehearsal\.py:\d+\)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fault_of_a_task_shows_in_one_line(task: Task, rule: str) -> None:
    with pytest.raises(TaskError, match=rule):
        rehearsed(task)


class Sequences(Points):
    """Steps of four features, and how its batches are laid out."""

    def __init__(self, num_steps: int, *, is_time_first: bool = True) -> None:
        self._num_steps = num_steps
        self._is_time_first = is_time_first

    def collate(self, samples: list[Any]) -> Batch:
        inputs, labels = super().collate(samples)
        size = (self._num_steps, len(samples), 4) if self._is_time_first else (len(samples), self._num_steps, 4)
        return inputs.expand(size) if self._is_time_first else inputs[:, None].expand(size), labels

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        inputs, labels = batch
        return super().forward(model, (inputs.mean(0 if self._is_time_first else 1), labels))


@pytest.mark.parametrize("num_steps", [7, 8, 20])
def test_batch_with_time_first_is_refused_and_one_with_samples_first_is_not(num_steps: int) -> None:
    """It would be counted, and cut into micro-batches, by its time steps."""
    rule = (
        rf"the first dimension of a batch must be its samples, got \({num_steps}, 8, 4\) .* of 8 samples; let collate"
    )
    with pytest.raises(TaskError, match=rule):
        rehearsed(Sequences(num_steps))
    assert rehearsed(Sequences(num_steps, is_time_first=False)).batch == f"(8, {num_steps}, 4) float32, (8) int64"


class Pairs(Points):
    """Each sample against all others: as many columns as rows, by right."""

    def collate(self, samples: list[Any]) -> Batch:
        inputs, labels = super().collate(samples)
        return inputs @ inputs.T, inputs, labels

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        return super().forward(model, batch[1:])


def test_batch_with_as_many_columns_as_samples_has_its_samples_first() -> None:
    assert rehearsed(Pairs()).batch == "(8, 8) float32, (8, 4) float32, (8) int64"


def test_device_that_is_not_there_is_told() -> None:
    with pytest.raises(TaskError, match="device: cuda:9 is not there"):
        rehearse(loaded(Points()), parameters={}, device="cuda:9")
