"""The task and the spec of a user who starts from nothing: they run as they are."""

TASK = '''\
"""What is trained: a task is a class with its data and its model."""

import torch
from sklearn.datasets import load_digits  # 1,797 pictures of 8x8 pixels, installed with autotune
from torch import nn
from torch.utils.data import TensorDataset

from autotune.training import Task


class MyTask(Task):
    def setup(self):
        # Runs once, before trials are forked: load here what all of them share, and keep it on the CPU.
        digits = load_digits()
        self.inputs = torch.tensor(digits.data / 16, dtype=torch.float32)
        self.targets = torch.tensor(digits.target)

    def train_data(self, params):
        # A dataset with __len__ and __getitem__: the DataLoader around it is autotune's, and is tuned.
        return TensorDataset(self.inputs[:1400], self.targets[:1400])

    def validation_data(self, params):
        # What the objective is measured on after each epoch.
        return TensorDataset(self.inputs[1400:], self.targets[1400:])

    def model(self, params):
        # params has every parameter of the trial: params.width is "width" in the spec.
        return nn.Sequential(nn.Linear(64, params.width), nn.ReLU(), nn.Linear(params.width, 10))

    # The loss is cross-entropy and the metric is the accuracy unless you write your own:
    # def loss(self, outputs, targets): ...       a scalar
    # def metrics(self, outputs, targets): ...    {"name": value}, recorded as val_name
'''

SPEC = """\
# Run it:  autotune study start {spec}
task: {task}:MyTask # file:class; the path counts from this file
objective: {{metric: val_accuracy, direction: maximize}} # or e.g. {{time_to: {{val_accuracy: 0.95}}}}
budget:
  trials: 12 # trainings in all, over every start of the study
  seconds: 120 # and seconds; what is used up first ends the study
  epochs: 5 # of each training, unless it is pruned
sampler: tpe # chooses the next trial from those before; also gp, cmaes, qmc, random, grid, nsgaii
pruner: {{hyperband: {{min_epochs: 1}}}} # stops trials that look hopeless, after one epoch at the earliest
confirm: {{repeats: 5}} # at the end winner and baseline train again on fresh seeds until sure; 0: never

learning: # what changes what is learned: a choice, or a range from low to high
  optimizer: {{choices: [sgd, adam, adamw]}} # any of torch.optim, or package.module:Class
  lr: {{low: 1e-4, high: 1, log: true}} # log: 1e-4 to 1e-3 is tried as often as 1e-1 to 1
  batch_size: {{choices: [32, 64, 128]}}
  width: {{low: 16, high: 128, log: true}} # no known name: it goes to the task, as params.width

speed: # what changes how fast it runs; raced in seconds once the baseline is trained
  torch_threads: {{low: 1, high: auto}} # auto: the cores that a trial has
  optimizer_impl: {{choices: [for_loop, foreach, fused]}} # three ways to compute the same step
  # `autotune hardware` lists all others with their values on your machine

# What you would train with today: trial 0, and what the winner is compared with.
baseline: {{optimizer: adam, lr: 1e-3, batch_size: 64, width: 32}}
"""
