"""Digits: 1,797 pictures of 8x8 pixels from scikit-learn; trains in seconds, for smoke tests."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from autotune.training import Task
from autotune.training.parameters import Parameters

_NUM_TRAIN = 1_437
"""Four fifths of the pictures, which come in mixed order."""


class Digits(Task):
    """A perceptron with ``depth`` hidden layers of ``width`` units and ``dropout``."""

    def setup(self) -> None:
        """Load the pictures, with pixels from 0 to 1."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        self.images = torch.tensor(digits.data / 16, dtype=torch.float32)
        self.labels = torch.tensor(digits.target, dtype=torch.int64)

    def train_data(self, params: Parameters) -> TensorDataset:
        """The first four fifths."""
        del params
        return TensorDataset(self.images[:_NUM_TRAIN], self.labels[:_NUM_TRAIN])

    def validation_data(self, params: Parameters) -> TensorDataset:
        """The last fifth."""
        del params
        return TensorDataset(self.images[_NUM_TRAIN:], self.labels[_NUM_TRAIN:])

    def model(self, params: Parameters) -> nn.Module:
        """64 pixels in, 10 classes out."""
        width, dropout = params.get("width", 64), params.get("dropout", 0.0)
        layers: list[nn.Module] = []
        num_inputs = 64
        for _ in range(params.get("depth", 1)):
            layers += [nn.Linear(num_inputs, width), nn.ReLU(), nn.Dropout(dropout)]
            num_inputs = width
        return nn.Sequential(*layers, nn.Linear(num_inputs, 10))
