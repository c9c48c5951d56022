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
