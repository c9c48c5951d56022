from pathlib import Path

import numpy as np
import pytest
import torch

from autotune.events import EpochReport, Outcome, Scalar, TrialOrder
from autotune.training.loading import LoadedTask, load_task
from autotune.training.parameters import Parameters
from autotune.training.rehearsal import rehearse
from autotune.training.run import run_trial
from autotune.training.task import Task
from tests.training.trials import Recorder

DIGITS = "autotune.tasks.digits:Digits"
MNIST = "autotune.tasks.mnist:Mnist"
MNIST1D = "autotune.tasks.mnist1d:Mnist1d"
SAMPLES = {DIGITS: (1437, 360), MNIST: (4000, 1000), MNIST1D: (4000, 1000)}


@pytest.fixture(scope="module", params=sorted(SAMPLES))
def task(request: pytest.FixtureRequest) -> LoadedTask:
    loaded = load_task(request.param)
    loaded.setup()
    return loaded


def train(task: LoadedTask, folder: Path, *, epochs: int, **parameters: Scalar) -> list[EpochReport]:
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


def test_data_has_its_known_size(task: LoadedTask) -> None:
    rehearsal = rehearse(task, parameters={}, device="cpu")
    assert (rehearsal.num_train_samples, rehearsal.num_validation_samples) == SAMPLES[task.reference]
    assert rehearsal.metric_names == ("train_loss", "val_loss", "val_accuracy")


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("width", [8, 16])
def test_architecture_follows_its_parameters(task: LoadedTask, width: int, depth: int) -> None:
    sizes = []
    for parameters in ({"width": width, "depth": depth}, {"width": 2 * width, "depth": depth}):
        assert rehearse(task, parameters=parameters, device="cpu").batch
        assert isinstance(task.target, Task)
        sizes.append(sum(p.numel() for p in task.target.model(Parameters(parameters)).parameters()))
    assert sizes[0] < sizes[1]


def test_dropout_is_in_the_model(task: LoadedTask) -> None:
    assert isinstance(task.target, Task)
    model = task.target.model(Parameters({"dropout": 0.25}))
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.25}


def numpys_generator() -> list[int]:
    state = np.random.get_state(legacy=False)  # noqa: NPY002 - the global generator is the question
    assert isinstance(state, dict)
    return [*state["state"]["key"].tolist(), state["state"]["pos"]]


def test_setup_disturbs_no_generator_and_gives_the_same_data_again(task: LoadedTask) -> None:
    before = numpys_generator()
    again = load_task(task.reference)
    again.setup()
    assert numpys_generator() == before
    assert isinstance(task.target, Task)
    assert isinstance(again.target, Task)
    first, second = (t.validation_data(Parameters({}))[3] for t in (task.target, again.target))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_both_parts_of_the_data_have_every_class_about_as_often(task: LoadedTask) -> None:
    assert isinstance(task.target, Task)
    for data in (task.target.train_data(Parameters({})), task.target.validation_data(Parameters({}))):
        assert isinstance(data, torch.utils.data.TensorDataset)
        shares = torch.bincount(data.tensors[1], minlength=10) / len(data)
        assert shares.min() > 0.07
        assert shares.max() < 0.14


def test_digits_are_learned_in_seconds(tmp_path: Path) -> None:
    reports = train(load_task(DIGITS), tmp_path, epochs=5, lr=0.01, batch_size=32)
    assert reports[-1].metrics["val_accuracy"] > 0.85


@pytest.mark.slow
def test_mnist_is_learned_in_two_epochs(tmp_path: Path) -> None:
    reports = train(load_task(MNIST), tmp_path, epochs=2, lr=0.003, width=8, batch_size=64)
    assert reports[-1].metrics["val_accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("network", "accuracy"), [("conv", 0.25), ("gru", 0.12)])
def test_mnist1d_is_better_than_chance(tmp_path: Path, network: str, accuracy: float) -> None:
    reports = train(load_task(MNIST1D), tmp_path, epochs=2, lr=0.01, network=network, width=16, depth=1)
    assert reports[-1].metrics["val_accuracy"] > accuracy


def test_unknown_network_is_infeasible_and_not_a_failure(tmp_path: Path) -> None:
    order = TrialOrder(
        study="tasks",
        number=0,
        task=MNIST1D,
        parameters={"network": "transformer"},
        objective_metrics=("val_accuracy",),
        epochs=1,
        seed=0,
        device="cpu",
        folder=str(tmp_path),
    )
    finished = run_trial(order, task=load_task(MNIST1D), channel=Recorder())
    assert finished.outcome is Outcome.INFEASIBLE
