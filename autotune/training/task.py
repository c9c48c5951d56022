"""The training problem as a user writes it: data, model, loss and metrics."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import Dataset, default_collate

from autotune.task_knob import TaskKnob
from autotune.training.batches import Batch, add_times, count_samples
from autotune.training.parameters import Parameters


class Task(ABC):
    """A training problem. Three methods must be written; the others have defaults for classification.

    ::

        class Digits(Task):
            def train_data(self, params):
                return TensorDataset(images, labels)

            def validation_data(self, params):
                return TensorDataset(held_out_images, held_out_labels)

            def model(self, params):
                return nn.Sequential(nn.Flatten(), nn.Linear(64, params.width), nn.ReLU(), nn.Linear(params.width, 10))

    ``params`` holds the trial's learning and speed parameters.
    """

    knobs: ClassVar[tuple[TaskKnob, ...]] = ()
    """The task's own speed parameters, for the ``speed`` section of a spec; ``params.get(name, default)`` reads one."""

    def setup(self) -> None:  # noqa: B027 - most tasks need none
        """Load what all trials share, once, before the trials' processes are forked.

        Keep everything on the CPU: a forked process can't use CUDA if it was used before the fork.
        """

    @abstractmethod
    def train_data(self, params: Parameters) -> Dataset[Any]:
        """The training samples: a dataset with ``__len__`` and ``__getitem__``.

        It may be called while the trial before is still training, where that leaves cores free: use no GPU here, and
        write nothing that a trial which never begins should not leave.
        """

    @abstractmethod
    def validation_data(self, params: Parameters) -> Dataset[Any]:
        """The samples that the objective is measured on."""

    @abstractmethod
    def model(self, params: Parameters) -> nn.Module:
        """A new model; its weights depend on the trial's seed alone, which is set before."""

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        """Outputs and targets of a batch that is on the device; by default, the batch is ``(inputs, targets)``."""
        inputs, targets = batch
        return model(inputs), targets

    def loss(self, outputs: Any, targets: Any) -> Tensor:  # noqa: ANN401 - whatever forward returns
        """The mean loss over the batch, a scalar; by default cross-entropy."""
        return functional.cross_entropy(outputs, targets)

    def count(self, batch: Batch) -> int | Tensor:
        """How many values the batch's loss and metrics are means of; by default the number of its samples.

        Where samples differ in this, as texts do in their tokens, return the number in this batch, so that
        micro-batches add up to the gradient of the whole batch, and batches to the mean over the data.
        """
        return count_samples(batch)

    def metrics(self, outputs: Any, targets: Any) -> Mapping[str, Tensor]:  # noqa: ANN401 - whatever forward returns
        """Means over the batch by name, recorded as ``val_NAME``; by default the accuracy."""
        return {"accuracy": (outputs.argmax(dim=1) == targets).double().mean()}

    def optimizer(self, model: nn.Module, params: Parameters) -> Optimizer | None:
        """An optimizer of the task's own; None, the default, takes the one that the parameters name."""
        del model, params
        return None

    def collate(self, samples: list[Any]) -> Batch:
        """One batch from single samples; by default torch's ``default_collate``.

        The first dimension of the batch's first tensor counts its samples, for throughput, budgets and batch sizes. For
        a model that wants time first, (T, N, ...), turn the batch round in ``forward``.

        Micro-batches (``accumulate``) cut those tensors whose first dimension is the batch's number of samples, and
        packed sequences; all else stays whole. So pad what differs in length (CTC's targets, for example) instead of
        concatenating it.
        """
        return default_collate(samples)

    def evaluate(self, model: nn.Module, batches: Iterable[Batch]) -> Mapping[str, Tensor | float]:
        """Loss and metrics over the validation data by name, recorded as ``val_NAME``.

        The default is the mean of all batches' values, each weighted with the batch's ``count``. A metric that is
        no such mean (an F1 score, a perplexity) needs an ``evaluate`` of the task's own.
        """
        sums: dict[str, Tensor] = {}
        total_count: int | Tensor = 0
        for batch in batches:
            outputs, targets = self.forward(model, batch)
            count = self.count(batch)
            total_count = total_count + count
            values: dict[str, Tensor | float] = {"loss": self.loss(outputs, targets), **self.metrics(outputs, targets)}
            for name, value in values.items():
                mean = value if isinstance(value, Tensor) else torch.as_tensor(value)
                if name not in sums:
                    sums[name] = torch.zeros_like(mean, dtype=torch.float64)
                add_times(sums[name], mean, count)
        return {name: total / total_count for name, total in sums.items()}
