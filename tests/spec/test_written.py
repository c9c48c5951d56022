import pytest

from autotune.spec.names import nearest
from autotune.spec.written import written


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "true"),
        (1e-5, "1e-05"),
        ("adam", "adam"),
        ("true", "'true'"),
        ("3", "'3'"),
        ("", "''"),
        ([1, "a"], "[1, a]"),
        ({"low": 0, "when": {"optimizer": ["sgd"]}}, "{low: 0, when: {optimizer: [sgd]}}"),
    ],
)
def test_a_value_is_written_as_in_a_spec(value: object, expected: str) -> None:
    assert written(value) == expected


def test_a_long_value_is_cut() -> None:
    assert written("a" * 500) == "a" * 117 + "..."


def test_a_list_that_holds_itself_ends() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert written(endless).endswith("...]]]]]")


@pytest.mark.parametrize(("name", "expected"), [("Adam", "adam"), ("moment", "momentum"), ("qqq", None)])
def test_the_nearest_name_is_found_whatever_its_case(name: str, expected: str | None) -> None:
    assert nearest(name, ("adam", "momentum")) == expected
