import pytest

from autotune.events import Scalar
from autotune.search.space import Condition, Requirement, SearchSpace, SpaceParameter

IMPLEMENTATION = SpaceParameter(
    name="optimizer_impl",
    group="speed",
    type="choices",
    choices=("foreach", "fused"),
    requirements=(
        Requirement("foreach", "optimizer", values=("sgd", "rmsprop")),
        Requirement("fused", "optimizer", values=("sgd",)),
    ),
)
ACCUMULATE = SpaceParameter(
    name="accumulate",
    group="speed",
    type="choices",
    choices=(1, 2, 3),
    requirements=(Requirement(2, "batch_size", divisor=2), Requirement(3, "batch_size", divisor=3)),
)
PREFETCH = SpaceParameter(
    name="prefetch_factor", group="speed", type="int", low=1, high=4, conditions=(Condition("num_workers", None),)
)
SPACE = SearchSpace(parameters=(), fixed={}, left_out=(), baseline={})


@pytest.mark.parametrize(
    ("optimizer", "expected"), [("sgd", ("foreach", "fused")), ("rmsprop", ("foreach",)), ("muon", ())]
)
def test_choices_are_those_that_go_with_what_is_chosen(optimizer: str, expected: tuple[str, ...]) -> None:
    assert IMPLEMENTATION.legal_choices({"optimizer": optimizer}) == expected


def test_a_parameter_without_a_legal_choice_is_not_active() -> None:
    assert not SPACE.is_active(IMPLEMENTATION, {"optimizer": "muon"})


@pytest.mark.parametrize(("batch_size", "expected"), [(6, (1, 2, 3)), (8, (1, 2)), (9, (1, 3)), (7, (1,))])
def test_micro_batches_divide_the_batch(batch_size: int, expected: tuple[int, ...]) -> None:
    assert ACCUMULATE.legal_choices({"batch_size": batch_size}) == expected


def test_a_requirement_says_nothing_of_a_parameter_that_is_not_active() -> None:
    assert ACCUMULATE.legal_choices({}) == (1, 2, 3)


@pytest.mark.parametrize(("chosen", "expected"), [({"num_workers": 1}, True), ({"num_workers": 0}, False), ({}, False)])
def test_prefetching_is_active_with_workers_alone(chosen: dict[str, Scalar], expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert SPACE.is_active(PREFETCH, chosen) is expected
