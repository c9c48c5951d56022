import math
import random
from collections.abc import Callable

import pytest

from autotune.speed.measuring.statistics import median_interval

NUM_RUNS = 500


def normal(generator: random.Random) -> float:
    return generator.gauss(0.0, 1.0)


def laplace(generator: random.Random) -> float:
    return generator.expovariate(1.0) - generator.expovariate(1.0)


def with_spikes(generator: random.Random) -> float:
    return generator.gauss(0.0, 1.0) + (generator.choice((-25.0, 25.0)) if generator.random() < 0.2 else 0.0)


def of_two_heaps(generator: random.Random) -> float:
    return generator.choice((-4.0, 4.0)) + generator.gauss(0.0, 1.0)


def share_held(draw: Callable[[random.Random], float], *, count: int, confidence: float) -> float:
    generator = random.Random(0)
    held = 0
    for _ in range(NUM_RUNS):
        low, high = median_interval([draw(generator) for _ in range(count)], confidence=confidence)
        held += low <= 0.0 <= high
    return held / NUM_RUNS


@pytest.mark.parametrize(
    ("count", "confidence"), [(3, 0.95), (5, 0.95), (5, 0.9975), (8, 0.8), (8, 0.95), (8, 0.9975), (12, 0.95)]
)
@pytest.mark.parametrize("draw", [normal, laplace, with_spikes])
def test_an_interval_holds_the_median_as_often_as_it_says(
    draw: Callable[[random.Random], float], count: int, confidence: float
) -> None:
    four_deviations = 4 * math.sqrt(confidence * (1 - confidence) / NUM_RUNS)

    assert share_held(draw, count=count, confidence=confidence) >= confidence - four_deviations


@pytest.mark.parametrize(("count", "confidence"), [(8, 0.8), (8, 0.95), (12, 0.95)])
def test_an_interval_of_six_or_more_trusts_no_shape(count: int, confidence: float) -> None:
    four_deviations = 4 * math.sqrt(confidence * (1 - confidence) / NUM_RUNS)

    assert share_held(of_two_heaps, count=count, confidence=confidence) >= confidence - four_deviations


@pytest.mark.parametrize("count", [3, 5])
def test_an_interval_of_few_normal_values_is_no_wider_than_it_must_be(count: int) -> None:
    assert share_held(normal, count=count, confidence=0.8) <= 0.8 + 4 * math.sqrt(0.8 * 0.2 / NUM_RUNS)


def test_a_spike_among_eight_values_does_not_move_the_interval() -> None:
    values = [-0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03]

    _, high = median_interval([*values, 50.0], confidence=0.8)

    assert high <= 0.03


def test_an_interval_contains_the_median() -> None:
    low, high = median_interval([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], confidence=0.95)

    assert low <= 6.0 <= high


def test_the_same_values_give_the_same_interval() -> None:
    values = [0.3, 0.1, 0.2, 0.7, 0.4, 0.6, 0.5]

    assert median_interval(values, confidence=0.95) == median_interval(values, confidence=0.95)


def test_values_that_are_all_the_same_have_an_interval_without_width() -> None:
    assert median_interval([0.5] * 8, confidence=0.95) == (0.5, 0.5)


def test_one_value_alone_says_nothing_about_its_spread() -> None:
    assert median_interval([0.5], confidence=0.95) == (-math.inf, math.inf)
