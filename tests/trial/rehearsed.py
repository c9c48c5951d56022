"""A small task whose parts fail when a parameter says so."""

import os
import sys
import time

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset
from typing_extensions import override

from autotune.training import Task
from autotune.training.parameters import Parameters


class Spots(Task):
    def __init__(self) -> None:
        self.num_setups = 0

    @override
    def setup(self) -> None:
        self.num_setups += 1
        self.inputs = torch.randn(64, 8)
        self.setup_pid = os.getpid()

    @override
    def train_data(self, params: Parameters) -> Dataset[tuple[torch.Tensor, ...]]:
        match params.get("fault"):
            case "raise":
                raise ValueError("no spots today")
            case "crash":
                sys.stdout.write("the last thing it said\n")
                os._exit(3)
            case "hang":
                time.sleep(600)
            case "speak":
                sys.stdout.write("spots today\n")
            case _:
                pass
        return TensorDataset(self.inputs, (self.inputs[:, 0] > 0).long())

    @override
    def validation_data(self, params: Parameters) -> Dataset[tuple[torch.Tensor, ...]]:
        return self.train_data(params)

    @override
    def model(self, params: Parameters) -> nn.Module:
        assert (self.num_setups, self.inputs.shape) == (1, (64, 8)), params
        return nn.Linear(8, 2)
