from xml.etree import ElementTree as ET

import pytest

from autotune.report.page.drawing import WIDTH, Line, Point, legend_mark, plot
from autotune.report.page.scales import Scale, categories_of, focused, scale_of
from tests.report.page_study import ATTACK


def test_a_drawing_is_well_formed_whatever_its_words_are() -> None:
    svg = plot(
        x=categories_of([ATTACK, "b"]),
        y=scale_of([0.1, 0.9]),
        labels=(ATTACK, ATTACK),
        lines=[Line(places=((0, 0.1), (1, 0.9)), role="best", words=ATTACK)],
        points=[Point(x=0, y=0.5, role="failed", words=ATTACK)],
        baseline=0.5,
    )
    root = ET.fromstring(svg)
    titles = [element.text for element in root.iter("title")]
    assert titles == [ATTACK, ATTACK]


def test_a_long_number_at_the_end_of_the_axis_stays_inside_the_drawing() -> None:
    root = ET.fromstring(plot(x=Scale(0.0, 40_000.0), y=scale_of([0.1, 0.9]), labels=("", "")))
    last = next(element for element in root.iter("text") if element.text == "40,000")
    assert float(last.attrib["x"]) + 3.4 * len("40,000") <= WIDTH


def test_roles_differ_in_shape() -> None:
    marks = {legend_mark(role) for role in ("best", "baseline", "complete", "pruned", "failed")}
    shapes = {mark.replace(role, "") for mark in marks for role in ("best", "baseline", "complete", "pruned", "failed")}
    assert len(marks) == 5
    assert len(shapes) >= 5


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 1.0], ["0", "0.5", "1.0"]),
        ([1e-5, 1.0], ["1e-5", "1e-4", "0.001", "0.01", "0.1", "1"]),
        ([5_000.0, 12_000.0], ["6,000", "8,000", "10,000", "12,000"]),
    ],
)
def test_ticks_are_round_numbers(values: list[float], labels: list[str]) -> None:
    shown = [label for _, label in scale_of(values).ticks]
    assert set(labels) <= set(shown) or shown == labels


@pytest.mark.parametrize("values", [[], [1.0], [3.0, 3.0], [0.0, 0.0], [-1.0, 1e9]])
def test_any_values_have_a_scale(values: list[float]) -> None:
    scale = scale_of(values)
    assert all(0.0 <= scale.share(value) <= 1.0 for value in values)
    assert isinstance(scale.ticks, tuple)


def test_epochs_have_ticks_at_whole_numbers_alone() -> None:
    assert [label for _, label in Scale(0.8, 2.2, is_whole=True).ticks] == ["1", "2"]


def test_hopeless_values_do_not_press_the_others_flat() -> None:
    scale = focused([0.1, 0.1, 0.9, 0.95, 0.97], is_maximized=True, complete=[0.9, 0.95, 0.97])
    assert scale.low > 0.8
    assert scale.share(0.1) == 0.0


def test_a_logarithmic_scale_takes_equal_factors_for_equal_steps() -> None:
    scale = Scale(1.0, 100.0, is_log=True)
    assert scale.share(10.0) == pytest.approx(0.5)
