"""Winners that are none: what two processes of one setting differ by for as long as they live."""

import pytest

from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race import race
from autotune.speed.racing.result import RaceResult
from tests.speed.simulated import Cost, Jitter, Setting, SimulatedArena, SimulatedMachine

ENTRIES = (Entry(KNOBS["channels_last"], (False, True)), Entry(KNOBS["optimizer_impl"], ("for_loop", "fused")))
BOTH: Setting = {"channels_last": True, "optimizer_impl": "fused"}


def run(
    seed: int,
    *,
    gain: float = 0.0,
    seconds: float = 120.0,
    start: Setting | None = None,
    informed: Setting | None = None,
) -> RaceResult:
    """On a quiet machine, whose processes differ by one per cent each."""

    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=0.01 / (1 + gain if setting.get("channels_last") else 1.0))

    machine = SimulatedMachine(seed=seed, noises=(Jitter(0.01),), start_spread=0.01)
    plan = RacePlan(entries=ENTRIES, baseline={}, seconds=seconds, start=start, informed=informed)
    return race(SimulatedArena(cost, machine=machine), plan, clock=lambda: machine.now)


@pytest.mark.parametrize(("start", "informed"), [(None, None), (BOTH, None), (None, BOTH)])
def test_race_names_hardly_ever_a_winner_that_is_no_faster_than_its_process(
    start: Setting | None, informed: Setting | None
) -> None:
    results = [run(seed, start=start, informed=informed) for seed in range(100)]
    assert sum(result.gain is not None for result in results) <= 3


def test_race_finds_a_gain_of_a_few_per_cent_all_the_same() -> None:
    found = sum(run(seed, gain=0.05).setting == {"channels_last": True} for seed in range(50))
    assert found >= 40


def test_small_gain_is_the_lesser_of_two_pairs() -> None:
    result = next(result for seed in range(20) if (result := run(seed, gain=0.04)).gain is not None)
    pairs = [heat.gain for heat in result.heats if heat.stage == "confirm" and heat.gain is not None]
    assert len(pairs) == 2
    assert result.gain == min(pairs, key=lambda gain: gain.ratio)


def test_large_gain_needs_one_pair() -> None:
    result = run(0, gain=0.2)
    assert [heat.stage for heat in result.heats].count("confirm") == 1


def test_difference_within_the_noise_is_not_confirmed_where_no_time_is_left_for_a_second_pair() -> None:
    results = [run(seed, seconds=11.0) for seed in range(100)]
    confirmed = [[heat for heat in result.heats if heat.stage == "confirm"] for result in results]
    assert any(confirmed)
    assert all(len(heats) < 2 for heats in confirmed)
    for result in results:
        if result.gain is not None:
            assert result.gain.ratio > 1 + (result.noise_floor or 0.05)
