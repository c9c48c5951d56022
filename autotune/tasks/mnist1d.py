"""MNIST-1D (Greydanus 2020, arXiv 2011.14439): sequences of 40 numbers, made by its package, none downloaded."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from autotune.training import InfeasibleError, Task
from autotune.training.parameters import Parameters


class Mnist1d(Task):
    """Convolutions along the sequence, or a GRU: ``network``, with ``width``, ``depth`` and ``dropout``."""

    def setup(self) -> None:
        """Make the 4,000 sequences for training and 1,000 for validation, always the same."""
        from mnist1d.data import get_dataset_args, make_dataset

        state = np.random.get_state()  # noqa: NPY002 - the package seeds the global generator
        data = make_dataset(get_dataset_args())
        np.random.set_state(state)  # noqa: NPY002 - as above
        self.train_tensors = _tensors(data["x"], data["y"])
        self.validation_tensors = _tensors(data["x_test"], data["y_test"])

    def train_data(self, params: Parameters) -> TensorDataset:
        """4,000 sequences."""
        del params
        return TensorDataset(*self.train_tensors)

    def validation_data(self, params: Parameters) -> TensorDataset:
        """1,000 sequences."""
        del params
        return TensorDataset(*self.validation_tensors)

    def model(self, params: Parameters) -> nn.Module:
        """Sequences of one number a step in, scores of 10 classes out."""
        width, depth, dropout = params.get("width", 32), params.get("depth", 2), params.get("dropout", 0.0)
        network = params.get("network", "conv")
        if network == "gru":
            return _Gru(width=width, depth=depth, dropout=dropout)
        if network == "conv":
            return _conv(width=width, depth=depth, dropout=dropout)
        raise InfeasibleError(f"network: must be conv or gru, got {network!r}")


class _Gru(nn.Module):
    def __init__(self, *, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(1, width, num_layers=depth, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * width, 10))

    def forward(self, sequences: Tensor) -> Tensor:
        """(N, 1, T) in, (N, 10) out."""
        states, _ = self.gru(sequences.transpose(1, 2))
        scores: Tensor = self.head(states.mean(dim=1))
        return scores


def _conv(*, width: int, depth: int, dropout: float) -> nn.Module:
    layers: list[nn.Module] = []
    num_channels = 1
    for _ in range(depth):
        layers += [nn.Conv1d(num_channels, width, kernel_size=5, stride=2, padding=2), nn.BatchNorm1d(width), nn.ReLU()]
        num_channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * num_channels, 10)
    )


def _tensors(sequences: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", labels: object) -> tuple[Tensor, Tensor]:
    inputs = torch.tensor(sequences, dtype=torch.float32).unsqueeze(1)
    return inputs, torch.tensor(labels, dtype=torch.int64)
