import pytest

from autotune.figures import format_figure


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.0123"),
        (999.4, "999"),
        (999.6, "1,000"),
        (-12345.6, "-12,346"),
        (1.5e12, "1.5e+12"),
        (1e-7, "1e-07"),
        (float("inf"), "inf"),
    ],
)
def test_figure_has_an_exponent_only_where_a_person_would_write_one(value: float, text: str) -> None:
    assert format_figure(value, digits=3) == text


def test_signed_figure_shows_its_plus() -> None:
    assert format_figure(2071.3, digits=3, is_signed=True) == "+2,071"
