"""A task whose checkpoint is as large as is wanted, however little there is to compute."""

import torch
from torch import nn
from typing_extensions import override

from autotune.training.parameters import Parameters
from tests.training.tasks import NoisyPoints


class Ballasted(NoisyPoints):
    """The small task with augmentation, whose model has a buffer of so many numbers that nobody reads."""

    @override
    def model(self, params: Parameters) -> nn.Module:
        model = super().model(params)
        model.register_buffer("ballast", torch.zeros(params.get("ballast", 0)))
        return model
