"""The mnist task with a loader that costs more than its training: every picture is bent when it is fetched."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, grid_sample
from torch.utils.data import Dataset
from typing_extensions import override

from autotune.tasks.mnist import Mnist
from autotune.training.parameters import Parameters

_ZOOM = 2
"""Pictures are bent at so many times their size, and made small again: edges stay smooth."""
_SIDE = _ZOOM * 28
_STRENGTH = 2.0
_RADIUS = 12


class AugmentedMnist(Mnist):
    """Elastic distortions (Simard, Steinkraus and Platt 2003), drawn per picture and the same in each epoch.

    They stand for an augmentation in Python, so no benchmark offers ``cache`` with this task.
    """

    @override
    def train_data(self, params: Parameters) -> "Distorted":  # type: ignore[override]
        """4,000 pictures."""
        pictures, labels = super().train_data(params).tensors
        return Distorted(pictures, labels)


class Distorted(Dataset[tuple[Tensor, Tensor]]):
    """Pictures that are bent one by one, when they are asked for."""

    def __init__(self, pictures: Tensor, labels: Tensor) -> None:
        self._pictures = pictures
        self._labels = labels
        line = torch.linspace(-1, 1, _SIDE)
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        self._grid = torch.stack([columns, rows], dim=-1)[None]
        bell = torch.exp(-(torch.arange(-_RADIUS, _RADIUS + 1) ** 2) / (4 * _RADIUS))
        self._bell = (bell / bell.sum()).view(1, 1, 1, -1)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self._labels)

    @override
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One picture, bent by a smooth field that its index draws."""
        generator = torch.Generator().manual_seed(index)
        field = torch.rand(2, 1, _SIDE, _SIDE, generator=generator) * 2 - 1
        smooth = conv2d(conv2d(field, self._bell, padding="same"), self._bell.transpose(2, 3), padding="same")
        grid = self._grid + _STRENGTH * smooth.permute(1, 2, 3, 0)
        bent = grid_sample(self._pictures[index : index + 1], grid, align_corners=True)
        return avg_pool2d(bent, _ZOOM)[0], self._labels[index]
