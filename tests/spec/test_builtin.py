import pytest

from autotune.spec.builtin import find_space, list_spaces
from autotune.spec.load import load_spec, parse_spec
from autotune.spec.model import Parameter

SPACES = ("cudnn", "digits", "mnist", "mnist1d", "stdlib", "vowels")


def test_the_search_spaces_that_come_along_are_listed() -> None:
    assert list_spaces() == SPACES


def test_there_is_no_file_for_an_unknown_name() -> None:
    assert find_space("none") is None


@pytest.mark.parametrize("name", SPACES)
def test_a_space_that_comes_along_is_valid_and_its_text_gives_the_same_spec(name: str) -> None:
    file = load_spec(name)
    assert file.name == name
    assert parse_spec(file.text, origin=name).spec == file.spec


@pytest.mark.parametrize("name", SPACES)
def test_every_space_searches_the_architecture(name: str) -> None:
    learning = load_spec(name).spec.learning
    assert all(isinstance(learning[part], Parameter) for part in ("width", "depth", "dropout"))
