"""A trained model again, from its checkpoint, with an example of what goes in and comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.training.checkpoints.checkpoint_file import read_checkpoint
from autotune.training.parameters import Parameters
from autotune.training.process.loading import load_task
from autotune.training.references import blaming
from autotune.training.task import Task

_NUM_EXAMPLES = 4


@dataclass(frozen=True)
class RebuiltModel:
    """A model with its trained weights, on the CPU, in evaluation mode."""

    model: nn.Module
    example_input: Any
    """The input that the task gave the model for the first validation samples."""
    example_output: Any
    """The output that the model gave for ``example_input``."""


def rebuild_model(reference: str, *, parameters: Mapping[str, Scalar], checkpoint: Path) -> RebuiltModel:
    """The trained model of a trial of a Task class; a function task keeps its model to itself.

    Raises:
        TaskError: The task can't be loaded, is a function, or its checkpoint can't be read.
    """
    loaded = load_task(reference)
    task = loaded.target
    if not isinstance(task, Task):
        raise TaskError(f"task {reference}: a model can be rebuilt from a Task class, got a function")
    loaded.setup()
    params = Parameters(parameters)
    with blaming(f"task {reference}", "model()"):
        model = task.model(params)
    model.load_state_dict(read_checkpoint(checkpoint)["objects"]["model"])
    model.eval()
    with blaming(f"task {reference}", "loading a batch"):
        data = DataLoader(task.validation_data(params), batch_size=_NUM_EXAMPLES, collate_fn=task.collate)
        batch = next(iter(data))
    return _with_example(task, model, batch, reference)


def _with_example(task: Task, model: nn.Module, batch: Any, reference: str) -> RebuiltModel:  # noqa: ANN401 - a Batch
    """The model with what goes in and comes out when the task's ``forward`` takes this batch."""
    seen: list[Any] = []

    def remember(module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
        del module
        if arguments:
            seen.append((arguments[0], output))

    handle = model.register_forward_hook(remember)
    try:
        with torch.inference_mode(), blaming(f"task {reference}", "forward()"):
            task.forward(model, batch)
    finally:
        handle.remove()
    if not seen:
        raise TaskError(f"task {reference}: forward() must call the model with its input, so that an example is known")
    example_input, example_output = seen[0]
    return RebuiltModel(model=model, example_input=example_input, example_output=example_output)
