from pathlib import Path

import numpy as np
import pytest
import torch

from autotune.events import Outcome, Scalar, TrialOrder
from autotune.training.data.cache import is_same
from autotune.training.parameters import Parameters
from autotune.training.process.loading import LoadedTask, load_task
from autotune.training.process.rehearsal import rehearse
from autotune.training.process.run import run_trial
from autotune.training.task import Task
from tests.tasks.trials import train
from tests.training.trials import Recorder

DIGITS = "autotune.tasks.digits:Digits"
MNIST = "autotune.tasks.mnist:Mnist"
MNIST1D = "autotune.tasks.mnist1d:Mnist1d"
STDLIB = "autotune.tasks.stdlib:Stdlib"
VOWELS = "autotune.tasks.vowels:Vowels"
SAMPLES = {DIGITS: (1437, 360), MNIST: (4000, 1000), MNIST1D: (4000, 1000), STDLIB: (1500, 300), VOWELS: (1800, 600)}
METRICS = {STDLIB: ("val_perplexity", "val_bits_per_character")}


@pytest.fixture(scope="module", params=sorted(SAMPLES))
def task(request: pytest.FixtureRequest) -> LoadedTask:
    loaded = load_task(request.param)
    loaded.setup()
    return loaded


def test_data_has_its_known_size(task: LoadedTask) -> None:
    rehearsal = rehearse(task, parameters={}, device="cpu")
    assert (rehearsal.num_train_samples, rehearsal.num_validation_samples) == SAMPLES[task.reference]
    assert rehearsal.metric_names == ("train_loss", "val_loss", "val_accuracy", *METRICS.get(task.reference, ()))


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
    assert is_same(first, second)


@pytest.mark.parametrize("task", [DIGITS, MNIST, MNIST1D], indirect=True)
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


@pytest.mark.parametrize(
    ("reference", "name", "value"),
    [(MNIST1D, "network", "transformer"), (VOWELS, "network", "transformer"), (STDLIB, "heads", 3)],
)
def test_impossible_architecture_is_infeasible_and_not_a_failure(
    tmp_path: Path, reference: str, name: str, value: Scalar
) -> None:
    order = TrialOrder(
        study="tasks",
        number=0,
        task=reference,
        parameters={name: value},
        objective_metrics=("val_accuracy",),
        epochs=1,
        seed=0,
        device="cpu",
        folder=str(tmp_path),
    )
    finished = run_trial(order, task=load_task(reference), channel=Recorder())
    assert finished.outcome is Outcome.INFEASIBLE
