from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.spec.optimizers import OPTIMIZERS
from autotune.training.parameters import Parameters
from autotune.training.steps.optimizers import implementation_in_force, make_optimizer

CPU = torch.device("cpu")


def new_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def train_some(model: nn.Module, optimizer: torch.optim.Optimizer, *, steps: int = 3) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 4, generator=generator)).pow(2).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS.keys() - {"sparse_adam"}))
def test_every_optimizer_of_the_table_trains(name: str) -> None:
    model = new_model()
    before = [p.clone() for p in model.parameters()]
    optimizer = make_optimizer(model, Parameters({"optimizer": name, "lr": 0.01}))
    train_some(model, optimizer)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_sparse_adam_trains_an_embedding() -> None:
    model = nn.Embedding(4, 2, sparse=True)
    optimizer = make_optimizer(model, Parameters({"optimizer": "sparse_adam", "lr": 0.1}))
    before = model.weight.clone()
    model(torch.tensor([1])).sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.weight)


@pytest.mark.parametrize(
    ("parameters", "argument", "expected"),
    [
        ({"optimizer": "adam", "beta1": 0.5}, "betas", (0.5, 0.999)),
        ({"optimizer": "adam", "beta1": 0}, "betas", (0.0, 0.999)),
        ({"optimizer": "adamw", "beta2": 0.9, "beta1": 0.8}, "betas", (0.8, 0.9)),
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, "nesterov", True),
        ({"optimizer": "rmsprop", "alpha": 0.7}, "alpha", 0.7),
        ({"optimizer": "adadelta", "rho": 0.5}, "rho", 0.5),
        ({"optimizer": "rprop", "eta_minus": 0.4}, "etas", (0.4, 1.2)),
        ({"optimizer": "adafactor", "eps2": 0.01}, "eps", (None, 0.01)),
        ({"optimizer": "adam"}, "lr", 1e-3),
    ],
)
def test_arguments_come_from_parameters_of_their_name(
    parameters: dict[str, Scalar], argument: str, expected: object
) -> None:
    assert make_optimizer(new_model(), Parameters(parameters)).defaults[argument] == expected


def test_parameter_that_the_optimizer_does_not_take_is_left_unread() -> None:
    params = Parameters({"optimizer": "adam", "momentum": 0.9})
    make_optimizer(new_model(), params)
    assert params.unread == ("momentum",)


@pytest.mark.parametrize("implementation", ["for_loop", "foreach", "fused"])
def test_implementation_is_the_one_asked_for(implementation: str) -> None:
    optimizer = make_optimizer(new_model(), Parameters({"optimizer": "adam", "optimizer_impl": implementation}))
    assert implementation_in_force(optimizer, device=CPU) == implementation


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [("adam", "cpu", "for_loop"), ("adam", "cuda", "foreach"), ("adafactor", "cuda", "for_loop")],
)
def test_implementation_that_nobody_set_is_torchs_default(name: str, device: str, expected: str) -> None:
    optimizer = make_optimizer(new_model(), Parameters({"optimizer": name}))
    assert implementation_in_force(optimizer, device=torch.device(device)) == expected


def test_muon_takes_the_matrices_and_adamw_the_rest() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    optimizer = make_optimizer(model, Parameters({"optimizer": "muon", "lr": 0.02, "momentum": 0.8}))
    shapes = [[tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups]
    assert shapes == [[(2, 8)], [(2, 1, 3, 3), (2,), (2,)]]
    assert optimizer.param_groups[0]["momentum"] == 0.8
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.02]


def test_muon_leaves_embeddings_and_what_shares_them_to_adamw() -> None:
    embedding = nn.Embedding(5, 3)
    head = nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    model = nn.ModuleList([embedding, nn.Linear(3, 3), nn.EmbeddingBag(4, 3), head])
    optimizer = make_optimizer(model, Parameters({"optimizer": "muon"}))
    shapes = [[tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups]
    assert shapes == [[(3, 3)], [(5, 3), (3,), (4, 3)]]


def test_scheduler_moves_both_parts_of_muon() -> None:
    optimizer = make_optimizer(new_model(), Parameters({"optimizer": "muon", "lr": 1.0}))
    scheduler = LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


def test_muon_goes_on_from_its_state() -> None:
    models = [new_model(), new_model()]
    optimizers = [make_optimizer(model, Parameters({"optimizer": "muon"})) for model in models]
    for model, optimizer in zip(models, optimizers, strict=True):
        train_some(model, optimizer)
    again = new_model()
    resumed = make_optimizer(again, Parameters({"optimizer": "muon"}))
    again.load_state_dict(models[0].state_dict())
    resumed.load_state_dict(optimizers[0].state_dict())
    train_some(again, resumed)
    train_some(models[1], optimizers[1])
    for one, other in zip(again.parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


OWN = """
import torch

class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def step(self, closure=None):
        pass

NOT_ONE = 3
"""


def test_optimizer_of_the_users_gets_arguments_by_its_signature(tmp_path: Path) -> None:
    (tmp_path / "lion.py").write_text(OWN)
    reference = f"{tmp_path / 'lion.py'}:Lion"
    optimizer = make_optimizer(
        new_model(), Parameters({"optimizer": reference, "lr": 0.5, "beta2": 0.5, "optimizer_impl": "fused"})
    )
    assert optimizer.defaults == {"lr": 0.5, "betas": (0.9, 0.5), "weight_decay": 0.0}
    with pytest.raises(TaskError, match=r"NOT_ONE: must be a subclass of torch\.optim\.Optimizer"):
        make_optimizer(new_model(), Parameters({"optimizer": f"{tmp_path / 'lion.py'}:NOT_ONE"}))


def test_unknown_optimizer_names_the_known() -> None:
    with pytest.raises(TaskError, match=r"must be one of sgd, adam, .*got 'adamm'"):
        make_optimizer(new_model(), Parameters({"optimizer": "adamm"}))


def test_refused_argument_names_the_optimizer() -> None:
    with pytest.raises(TaskError, match=r"^optimizer sgd: SGD\(\.\.\.\) raised ValueError: Invalid momentum value: -1"):
        make_optimizer(new_model(), Parameters({"optimizer": "sgd", "momentum": -1.0}))


def test_model_without_parameters_can_not_be_trained() -> None:
    with pytest.raises(TaskError, match="needs a parameter to train"):
        make_optimizer(nn.ReLU(), Parameters({}))
