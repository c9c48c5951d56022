import math

import pytest

from autotune.events import Scalar
from autotune.report.text import wording
from tests.out_of_memory import NATIVE, NATIVE_IN_SHORT


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (7.9, "0:07"), (760.0, "12:40"), (3760.0, "1:02:40"), (None, "-")]
)
def test_clock_shows_whole_seconds(seconds: float | None, text: str) -> None:
    assert wording.format_clock(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.085, "85 ms"), (3.214, "3.21 s"), (140.2, "140 s"), (math.nan, "-")])
def test_duration_names_its_unit(seconds: float, text: str) -> None:
    assert wording.format_duration(seconds) == text


def test_parameters_read_as_yaml_would_have_them() -> None:
    parameters: dict[str, Scalar] = {
        "optimizer": "adam",
        "lr": 0.0012345,
        "nesterov": True,
        "schedule": None,
        "batch_size": 64,
    }
    text = "optimizer adam · lr 1.2e-3 · nesterov true · schedule null · batch_size 64"
    assert wording.format_parameters(parameters) == text


def test_one_line_keeps_a_message_from_driving_the_terminal() -> None:
    assert wording.one_line("a\nb\x1b[2Jc\td\u202ee") == "a b [2Jc d e"


def test_one_line_says_in_short_what_torch_says_of_memory_at_length() -> None:
    assert wording.one_line(f"trial 3: OutOfMemoryError:\n{NATIVE}") == f"trial 3: OutOfMemoryError: {NATIVE_IN_SHORT}"


def test_large_values_show_no_exponent() -> None:
    assert wording.format_metric(123456.7) == "123,457"
    assert wording.format_gain(2071.3) == "+2,071"
    assert wording.format_duration(5120.0) == "5,120 s"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], "none"), ([4], "trial 4"), ([1, 0, 2], "trials 0 to 2"), ([0, 1, 3, 5, 6], "trials 0 to 1, 3, 5 to 6")],
)
def test_trials_whose_numbers_are_in_a_row_are_named_in_short(numbers: list[int], text: str) -> None:
    assert wording.name_trials(numbers) == text
