"""Trials of the built-in tasks, in this process."""

from pathlib import Path

from autotune.events import EpochReport, Outcome, Scalar, TrialOrder
from autotune.training.process.loading import LoadedTask
from autotune.training.process.run import run_trial
from tests.training.trials import Recorder


def train(task: LoadedTask, folder: Path, *, epochs: int, **parameters: Scalar) -> list[EpochReport]:
    """The reports of a whole trial that read every parameter."""
    listener = Recorder()
    order = TrialOrder(
        study="tasks",
        number=0,
        task=task.reference,
        parameters=parameters,
        objective_metrics=("val_accuracy",),
        epochs=epochs,
        seed=0,
        device="cpu",
        folder=str(folder),
    )
    finished = run_trial(order, task=task, channel=listener)
    assert finished.outcome is Outcome.COMPLETE, finished
    assert finished.unread_parameters == ()
    return listener.of(EpochReport)
