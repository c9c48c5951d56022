"""Small tasks that the tests of this room train."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

from autotune.training import Task
from autotune.training.batches import Batch
from autotune.training.parameters import Parameters

NUM_TRAIN = 42
NUM_VALIDATION = 10


def points(num_samples: int, *, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(num_samples, 4, generator=generator)
    return inputs, (inputs.sum(dim=1) > 0).long()


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """Augments with all three generators that people draw from."""

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        self.inputs = inputs
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = torch.rand(4) + random.random() + np.random.rand()  # noqa: NPY002 - as users draw
        return self.inputs[index] + 0.1 * noise, self.labels[index]


class Points(Task):
    """Two classes of points, a small network with BatchNorm and Dropout."""

    def train_data(self, params: Parameters) -> Dataset[Any]:
        del params
        return TensorDataset(*points(NUM_TRAIN, seed=0))

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        del params
        return TensorDataset(*points(NUM_VALIDATION, seed=1))

    def model(self, params: Parameters) -> nn.Module:
        width = params.get("width", 8)
        return nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 2)
        )


class SteadyPoints(Points):
    """Whose step draws nothing at random."""

    def model(self, params: Parameters) -> nn.Module:
        del params
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


class NoisyPoints(Points):
    """With augmentation in training and, since nobody forbids it, in validation."""

    def train_data(self, params: Parameters) -> Dataset[Any]:
        del params
        return Noisy(*points(NUM_TRAIN, seed=0))

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        del params
        return Noisy(*points(NUM_VALIDATION, seed=1))


class DrawnPoints(Points):
    """Whose training data is drawn from the global generator, as much of it as a parameter says."""

    def train_data(self, params: Parameters) -> Dataset[Any]:
        inputs, labels = points(NUM_TRAIN, seed=0)
        noise = torch.rand(params.get("copies", 1), *inputs.shape).mean(dim=0)
        return TensorDataset(inputs + noise, labels)


class WeightedPoints(Points):
    """Points of weight 1 or 3, as texts have a token or three; loss and accuracy are means over the weights."""

    def train_data(self, params: Parameters) -> Dataset[Any]:
        del params
        return TensorDataset(*points(NUM_TRAIN, seed=0), _weights(NUM_TRAIN))

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        del params
        return TensorDataset(*points(NUM_VALIDATION, seed=1), _weights(NUM_VALIDATION))

    def model(self, params: Parameters) -> nn.Module:
        del params
        return nn.Linear(4, 2)

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        inputs, *targets = batch
        return model(inputs), targets

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        labels, weights = targets
        loss: Tensor = (functional.cross_entropy(outputs, labels, reduction="none") * weights).sum() / weights.sum()
        return loss

    def metrics(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:
        labels, weights = targets
        return {"accuracy": ((outputs.argmax(dim=1) == labels) * weights).sum().double() / weights.sum()}

    def count(self, batch: Batch) -> Tensor:
        _, _, weights = batch
        count: Tensor = weights.sum()
        return count


def _weights(num_samples: int) -> Tensor:
    """3 for the first half of the data, so that batches and their parts weigh as differently as they can."""
    return torch.where(torch.arange(num_samples) < num_samples // 2, 3, 1)
