from collections.abc import Callable

import pytest

import autotune.training
from autotune.training.parameters import Parameters


def test_parameters_are_read_by_name_by_attribute_and_with_a_default() -> None:
    params = Parameters({"width": 8, "lr": 0.1})
    assert [params["width"], params.width, params.get("lr"), params.get("depth", 2)] == [8, 8, 0.1, 2]
    assert "width" in params
    assert len(params) == 2


def test_what_was_not_read_is_remembered() -> None:
    params = Parameters({"width": 8, "lr": 0.1, "typo": 1})
    assert params.width == 8
    assert "lr" in params
    assert params.unread == ("lr", "typo")


def test_absent_parameter_names_the_present_and_the_remedy() -> None:
    with pytest.raises(AttributeError, match=r"no parameter 'widht', only width; use params\.get\('widht', DEFAULT\)"):
        _ = Parameters({"width": 8}).widht


def test_parameters_survive_copy_and_pickle() -> None:
    import copy
    import pickle

    params = Parameters({"width": 8})
    assert copy.deepcopy(params) == params
    assert pickle.loads(pickle.dumps(params)).width == 8


def test_exported_names_are_sorted_and_there() -> None:
    assert autotune.training.__all__ == sorted(autotune.training.__all__)
    assert all(hasattr(autotune.training, name) for name in autotune.training.__all__)


def test_trial_without_parameters_says_where_one_comes_from() -> None:
    rule = r"no parameter 'width'; use params\.get\('width', DEFAULT\), or name a spec that has it"
    with pytest.raises(AttributeError, match=rule):
        _ = Parameters({}).width


def test_names_that_were_asked_for_are_remembered_absent_ones_too() -> None:
    params = Parameters({"width": 8, "lr": 0.1, "precision": "bf16", "typo": 1})
    assert params.width == 8
    assert params.get("depth", 2) == 2
    assert "crop" not in params
    with pytest.raises(KeyError):
        _ = params["scale"]
    assert params.peek("precision", default="fp32") == "bf16"
    assert params.peek("accumulate", default=1) == 1
    assert params.asked == ("accumulate", "crop", "depth", "precision", "scale", "width")
    assert params.unread == ("lr", "precision", "typo")


@pytest.mark.parametrize("look", [dict, list, len, str, lambda params: params == {}])
def test_who_lists_the_parameters_has_asked_for_all(look: Callable[[Parameters], object]) -> None:
    params = Parameters({"width": 8})
    look(params)
    assert params.asked is None


def test_parameters_become_others() -> None:
    params = Parameters({"width": 8, "lr": 0.1})
    assert params.width == 8
    params.become({"width": 8, "momentum": 0.9})
    assert dict(params) == {"width": 8, "momentum": 0.9}
    assert Parameters({"width": 8}).unread == ("width",)
