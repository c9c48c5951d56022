import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.speed.measuring.statistics import median_interval

VALUES = st.lists(st.floats(-10, 10), min_size=2, max_size=14)
CONFIDENCES = st.sampled_from([0.5, 0.8, 0.95, 0.9975])


@given(values=VALUES, confidence=CONFIDENCES)
def test_an_interval_contains_the_median(values: list[float], confidence: float) -> None:
    low, high = median_interval(values, confidence=confidence)

    assert low - 1e-9 <= statistics.median(values) <= high + 1e-9


@given(values=VALUES, confidence=CONFIDENCES, order=st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(values: list[float], confidence: float, order: random.Random) -> None:
    shuffled = list(values)
    order.shuffle(shuffled)

    assert median_interval(shuffled, confidence=confidence) == pytest.approx(
        median_interval(values, confidence=confidence), abs=1e-9
    )


@given(values=VALUES, confidence=CONFIDENCES, shift=st.floats(-5, 5), scale=st.floats(0.1, 5))
def test_an_interval_moves_and_grows_with_its_values(
    values: list[float], confidence: float, shift: float, scale: float
) -> None:
    low, high = median_interval(values, confidence=confidence)

    moved = median_interval([scale * value + shift for value in values], confidence=confidence)

    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-6)


@given(values=VALUES, lower=st.floats(0.5, 0.9975), higher=st.floats(0.5, 0.9975))
def test_a_higher_confidence_never_narrows_an_interval(values: list[float], lower: float, higher: float) -> None:
    inner_low, inner_high = median_interval(values, confidence=min(lower, higher))
    low, high = median_interval(values, confidence=max(lower, higher))

    assert low <= inner_low + 1e-9
    assert inner_high <= high + 1e-9
