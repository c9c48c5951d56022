import math
from typing import Literal

import pytest

from autotune.proof.quantities import Quantity
from autotune.report.verdicts import effect

INFINITE = math.inf


@pytest.mark.parametrize(
    ("kind", "low", "high", "told"),
    [
        ("ratio", 1.2, 1.8, "1.5x [1.2x, 1.8x]"),
        ("ratio", 1.2, INFINITE, "1.5x [1.2x, infx]"),
        ("ratio", 0.0, INFINITE, "1.5x"),
        ("difference", 1.2, 1.8, "+1.5 [+1.2, +1.8]"),
        ("difference", -INFINITE, INFINITE, "+1.5"),
    ],
)
def test_an_effect_names_its_interval_where_it_has_bounds(
    kind: Literal["ratio", "difference"], low: float, high: float, told: str
) -> None:
    quantity = Quantity(
        name="val_loss",
        kind=kind,
        winner=3.0,
        reference=2.0,
        value=1.5,
        low=low,
        high=high,
        is_more_better=True,
        finding="better",
    )
    assert effect(quantity) == told
