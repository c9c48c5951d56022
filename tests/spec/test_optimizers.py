"""The table without torch against torch.optim itself."""

import inspect

import pytest
import torch

from autotune.spec.learning import LEARNING_LIMITS
from autotune.spec.optimizers import (
    OPTIMIZER_ARGUMENTS,
    OPTIMIZERS,
    OptimizerFacts,
    is_own_optimizer,
    optimizers_that_accept,
)

NOT_IN_A_SPEC = {"params", "foreach", "fused", "maximize", "differentiable", "capturable", "ns_coefficients"}


def signature(facts: OptimizerFacts) -> set[str]:
    return set(inspect.signature(getattr(torch.optim, facts.class_name)).parameters)


@pytest.mark.parametrize("facts", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_arguments_are_those_of_torch(facts: OptimizerFacts) -> None:
    in_tuples = {part for parts in facts.tuples.values() for part in parts}
    plain = set(facts.arguments) - in_tuples
    assert in_tuples <= set(facts.arguments)
    assert plain | set(facts.tuples) == signature(facts) - NOT_IN_A_SPEC


@pytest.mark.parametrize("facts", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_tuples_have_as_many_names_as_torch_has_elements(facts: OptimizerFacts) -> None:
    parameters = inspect.signature(getattr(torch.optim, facts.class_name)).parameters
    assert {name: len(parts) for name, parts in facts.tuples.items()} == {
        name: len(parameters[name].default) for name in facts.tuples
    }


@pytest.mark.parametrize("facts", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_implementations_are_those_of_torch(facts: OptimizerFacts) -> None:
    flags = {"foreach", "fused"} & signature(facts)
    assert set(facts.implementations) == {"for_loop", *flags}


def test_every_optimizer_of_torch_but_lbfgs_is_there() -> None:
    classes = {
        name
        for name, found in vars(torch.optim).items()
        if inspect.isclass(found) and issubclass(found, torch.optim.Optimizer) and found is not torch.optim.Optimizer
    }
    assert {facts.class_name for facts in OPTIMIZERS.values()} == classes - {"LBFGS"}


@pytest.mark.parametrize("facts", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_fused_implementation_steps_on_a_cpu(facts: OptimizerFacts) -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2).to_sparse() if facts.name == "sparse_adam" else torch.ones(2, 2)
    fastest = facts.implementations[-1]
    chosen = {} if fastest == "for_loop" else {fastest: True}
    getattr(torch.optim, facts.class_name)([weight], lr=0.1, **chosen).step()
    assert not torch.equal(weight, torch.ones(2, 2))


def test_limits_are_for_names_that_mean_something() -> None:
    others = {"batch_size", "schedule", "warmup", "schedule_gamma", "schedule_step", "gradient_clip"}
    assert LEARNING_LIMITS.keys() - others <= OPTIMIZER_ARGUMENTS


def test_an_argument_names_the_optimizers_that_take_it() -> None:
    assert optimizers_that_accept("momentum") == ("sgd", "rmsprop", "muon")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lion_pytorch:Lion", True),
        ("my/file.py:Lion", True),
        ("Lion", False),
        (":Lion", False),
        ("a:", False),
        (3, False),
    ],
)
def test_an_optimizer_of_ones_own_has_a_module_and_a_class(name: object, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_own_optimizer(name) is expected
