import math
from collections.abc import Callable

import pytest

from autotune.errors import InputError
from autotune.speed import Comparison, break_even_steps, compare, is_clear, is_out_of_reach, noise_floor
from autotune.speed.measuring.comparison import Quads
from tests.speed.simulated import (
    Cost,
    Drift,
    Jitter,
    Noise,
    RandomWalk,
    SimulatedContestant,
    SimulatedMachine,
    Spikes,
    TwoClocks,
)

NUM_RUNS = 400
BINOMIAL_TOLERANCE = 3 * math.sqrt(0.95 * 0.05 / NUM_RUNS)
"""Three standard deviations of a share of 95 % in so many runs: 3.3 points."""


def jitter() -> tuple[Noise, ...]:
    return (Jitter(),)


def drift() -> tuple[Noise, ...]:
    return Jitter(), Drift(share=0.08, over_seconds=6.4)


def random_walk() -> tuple[Noise, ...]:
    return Jitter(), RandomWalk()


def spikes() -> tuple[Noise, ...]:
    return Jitter(), Spikes()


def two_clocks() -> tuple[Noise, ...]:
    return Jitter(), TwoClocks()


def everything() -> tuple[Noise, ...]:
    return Jitter(), Drift(share=0.08, over_seconds=6.4), RandomWalk(), Spikes(), TwoClocks()


NOISES = pytest.mark.parametrize("noises", [jitter, drift, random_walk, spikes, two_clocks, everything])


def two(
    seed: int = 0,
    *,
    ratio: float = 1.0,
    noises: tuple[Noise, ...] = (),
) -> tuple[SimulatedContestant, SimulatedContestant]:
    """A and B on one machine; B's throughput is ``ratio`` times A's."""
    machine = SimulatedMachine(seed=seed, noises=noises)
    a, b = Cost(compute_seconds=0.02), Cost(compute_seconds=0.02 / ratio)
    return SimulatedContestant({}, a, machine), SimulatedContestant({}, b, machine)


def covers(comparison: Comparison, ratio: float) -> bool:
    low, high = comparison.interval
    return low <= ratio <= high


@pytest.mark.parametrize("quads", [3, 6, 8, 12])
@NOISES
def test_intervals_hold_the_true_ratio_as_often_as_they_say(
    noises: Callable[[], tuple[Noise, ...]], quads: int
) -> None:
    held = sum(covers(compare(*two(seed, ratio=1.05, noises=noises()), quads=quads), 1.05) for seed in range(NUM_RUNS))

    assert held / NUM_RUNS >= 0.95 - BINOMIAL_TOLERANCE


@pytest.mark.parametrize("quads", [4, 8, 12])
@NOISES
def test_intervals_of_comparisons_that_may_end_early_hold_the_true_ratio_as_often_as_they_say(
    noises: Callable[[], tuple[Noise, ...]], quads: int
) -> None:
    held = sum(
        covers(compare(*two(seed, ratio=1.2, noises=noises()), quads=quads, is_decided=is_clear), 1.2)
        for seed in range(NUM_RUNS)
    )

    assert held / NUM_RUNS >= 0.95 - BINOMIAL_TOLERANCE


@NOISES
@pytest.mark.parametrize("is_decided", [None, is_clear], ids=["whole", "may end early"])
def test_a_against_a_finds_no_difference_in_at_least_95_of_100_runs(
    noises: Callable[[], tuple[Noise, ...]], is_decided: Callable[[Comparison], bool] | None
) -> None:
    ties = 0
    for seed in range(100):
        a, twin = two(seed, noises=noises())
        floor = noise_floor(a, twin)
        ties += compare(a, twin, noise_floor=floor, is_decided=is_decided).verdict == "tie"

    assert ties >= 95


def test_a_gain_of_5_percent_is_found_under_a_drift_of_8_percent_in_at_least_90_of_100_runs() -> None:
    found = 0
    for seed in range(100):
        a, twin = two(seed, noises=drift())
        floor = noise_floor(a, twin)
        a, b = two(seed + 100, ratio=1.05, noises=drift())
        found += compare(a, b, noise_floor=floor).verdict == "faster"

    assert found >= 90


def test_a_drift_without_other_noise_cancels_within_a_quad() -> None:
    a, b = two(ratio=1.05, noises=(Drift(share=0.08, over_seconds=6.4),))

    # What is left is of second order: the drift's curvature in logarithms, and B's shorter blocks.
    assert compare(a, b).ratio == pytest.approx(1.05, rel=1e-4)


def test_blocks_alternate_abba_and_then_baab() -> None:
    machine = SimulatedMachine()
    a, b = (SimulatedContestant({"name": name}, Cost(0.02), machine) for name in "AB")

    compare(a, b, quads=3)

    assert [contestant.setting["name"] for contestant in machine.turns] == list("ABBABAABABBA")


def test_a_slower_contestant_is_called_slower() -> None:
    comparison = compare(*two(ratio=0.8, noises=jitter()))

    assert comparison.verdict == "slower"
    assert comparison.ratio == pytest.approx(0.8, rel=0.05)


def test_a_difference_inside_the_noise_floor_is_a_tie() -> None:
    assert compare(*two(ratio=1.02), noise_floor=0.03).verdict == "tie"
    assert compare(*two(ratio=1 / 1.02), noise_floor=0.03).verdict == "tie"
    assert compare(*two(ratio=1.04), noise_floor=0.03).verdict == "faster"


def test_a_clear_difference_ends_a_comparison_early_with_a_higher_confidence() -> None:
    comparison = compare(*two(ratio=2.0, noises=jitter()), is_decided=is_clear)

    assert comparison.num_quads < 8
    assert comparison.confidence > 0.99
    assert comparison.verdict == "faster"


def test_a_comparison_that_is_never_clear_ends_with_the_confidence_that_was_asked_for() -> None:
    comparison = compare(*two(noises=jitter()), quads=5, is_decided=lambda _: False, confidence=0.9)

    assert comparison.num_quads == 5
    assert comparison.confidence == 0.9


@pytest.mark.parametrize(("most_seconds", "num_quads"), [(0.0, 2), (2.0, 3), (math.inf, 5)])
def test_a_comparison_whose_time_is_over_ends_after_two_quads_or_more_with_the_confidence_that_was_asked_for(
    most_seconds: float, num_quads: int
) -> None:
    took: list[float] = []

    def is_over(quad_seconds: float) -> bool:
        took.append(quad_seconds)
        return sum(took) + quad_seconds > most_seconds

    comparison = compare(*two(noises=jitter()), quads=Quads(5, is_over=is_over), confidence=0.9)
    assert (comparison.num_quads, comparison.confidence) == (num_quads, 0.9)
    assert took[0] == pytest.approx(sum(block.seconds for block in comparison.blocks) / num_quads, rel=0.1)


def test_a_tie_is_clear_once_its_interval_lies_inside_the_noise_floor() -> None:
    assert is_clear(compare(*two(noises=jitter()), noise_floor=0.1))
    assert not is_clear(compare(*two(noises=jitter()), noise_floor=0.001))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.014])
def test_what_is_faster_by_half_the_noise_floor_at_most_is_out_of_reach(ratio: float) -> None:
    assert is_out_of_reach(compare(*two(ratio=ratio), noise_floor=0.03))


@pytest.mark.parametrize("ratio", [1.016, 1.5])
def test_what_is_faster_by_more_than_half_the_noise_floor_is_within_reach(ratio: float) -> None:
    assert not is_out_of_reach(compare(*two(ratio=ratio), noise_floor=0.03))


@pytest.mark.parametrize("noises", [jitter, drift])
def test_ending_where_a_challenger_is_out_of_reach_loses_a_gain_of_10_percent_in_5_of_100_runs_at_most(
    noises: Callable[[], tuple[Noise, ...]],
) -> None:
    def is_settled(comparison: Comparison) -> bool:
        return is_clear(comparison) or is_out_of_reach(comparison)

    screened = [
        compare(
            *two(seed, ratio=1.1, noises=noises()),
            quads=10,
            confidence=0.8,
            noise_floor=0.03,
            is_decided=is_settled,
        )
        for seed in range(NUM_RUNS)
    ]
    assert sum(comparison.verdict == "faster" for comparison in screened) >= 0.95 * NUM_RUNS


def test_an_epochs_start_is_charged_to_its_samples() -> None:
    machine = SimulatedMachine()
    a = SimulatedContestant({}, Cost(0.02), machine, steps_per_epoch=50)
    b = SimulatedContestant({}, Cost(0.02, epoch_start_seconds=0.5), machine, steps_per_epoch=50)

    assert compare(a, b).ratio == pytest.approx(50 * 0.02 / (50 * 0.02 + 0.5))


def test_an_epochs_start_is_not_charged_where_the_length_of_an_epoch_is_unknown() -> None:
    machine = SimulatedMachine()
    a = SimulatedContestant({}, Cost(0.02), machine, steps_per_epoch=None)
    b = SimulatedContestant({}, Cost(0.02, epoch_start_seconds=0.5), machine, steps_per_epoch=None)

    assert compare(a, b).ratio == pytest.approx(1.0)


def test_a_compilation_breaks_even_after_the_steps_that_earn_its_time_back() -> None:
    machine = SimulatedMachine()
    a = SimulatedContestant({}, Cost(0.02), machine)
    b = SimulatedContestant({}, Cost(0.01, start_seconds=30.0), machine)

    assert break_even_steps(a, b, compare(a, b)) == pytest.approx(3000, abs=1)


def test_what_starts_sooner_and_runs_faster_breaks_even_at_once() -> None:
    machine = SimulatedMachine()
    a = SimulatedContestant({}, Cost(0.02, start_seconds=1.0), machine)
    b = SimulatedContestant({}, Cost(0.01), machine)

    assert break_even_steps(a, b, compare(a, b)) == 0


@pytest.mark.parametrize("seconds", [0.02, 0.03])
def test_what_is_not_faster_never_breaks_even(seconds: float) -> None:
    machine = SimulatedMachine()
    a = SimulatedContestant({}, Cost(0.02), machine)
    b = SimulatedContestant({}, Cost(seconds), machine)

    assert break_even_steps(a, b, compare(a, b)) is None


def test_one_quad_is_refused() -> None:
    with pytest.raises(InputError, match="needs quads >= 2"):
        compare(*two(), quads=1)
