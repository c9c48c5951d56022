from collections.abc import Mapping

import pytest

from autotune.events import Scalar
from autotune.recording.ablated import MOST_CHANGES, changes_of
from autotune.spec.model import Parameter, StudySpec
from tests.report.study_book import make_spec

RANGE = Parameter(type="float", low=0.0, high=1.0)


def spec_with(**learning: Parameter) -> StudySpec:
    names = dict.fromkeys(("optimizer", "lr", "momentum", "width", "depth"), RANGE)
    return make_spec().model_copy(update={"learning": names | learning})


def names_of(winner: Mapping[str, Scalar], baseline: Mapping[str, Scalar], *, spec: StudySpec) -> list[tuple[str, ...]]:
    return [change.names for change in changes_of(winner, baseline, spec=spec)]


def test_each_difference_is_set_back_by_itself() -> None:
    winner, baseline = {"lr": 0.1, "width": 8, "depth": 2}, {"lr": 0.2, "width": 4, "depth": 2}

    lr, width = changes_of(winner, baseline, spec=spec_with())

    assert lr.parameters == {"lr": 0.2, "width": 8, "depth": 2}
    assert width.parameters == {"lr": 0.1, "width": 4, "depth": 2}


def test_argument_that_comes_with_an_optimizer_goes_with_it() -> None:
    winner: dict[str, Scalar] = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9}
    baseline: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.2, "beta1": 0.8}

    optimizer, lr = changes_of(winner, baseline, spec=spec_with(beta1=RANGE))

    assert set(optimizer.names) == {"optimizer", "momentum", "beta1"}
    assert optimizer.parameters == {"optimizer": "adam", "lr": 0.1, "beta1": 0.8}
    assert lr.names == ("lr",)


def test_parameter_of_a_condition_goes_with_what_it_hangs_on() -> None:
    deep = Parameter(type="float", low=0.0, high=1.0, when={"depth": (3,)})

    assert names_of({"depth": 3, "skip": 0.5}, {"depth": 2}, spec=spec_with(skip=deep)) == [("depth", "skip")]


def test_speed_parameters_are_one_change() -> None:
    winner = {"lr": 0.1, "num_workers": 2, "persistent_workers": True}

    assert names_of(winner, {"lr": 0.2, "num_workers": 0}, spec=spec_with()) == [
        ("lr",),
        ("num_workers", "persistent_workers"),
    ]


@pytest.mark.parametrize("count", [MOST_CHANGES, MOST_CHANGES + 3])
def test_of_many_the_last_are_set_back_together(count: int) -> None:
    names = [f"p{number}" for number in range(count)]
    spec = spec_with(**dict.fromkeys(names, RANGE))

    changes = changes_of(dict.fromkeys(names, 1), dict.fromkeys(names, 2), spec=spec)

    assert len(changes) == MOST_CHANGES
    assert [name for change in changes for name in change.names] == names
