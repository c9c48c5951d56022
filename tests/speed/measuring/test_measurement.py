import math

import pytest

from autotune.errors import InputError
from autotune.speed import measure, noise_floor
from tests.speed.simulated import Cost, Drift, Jitter, SimulatedContestant, SimulatedMachine, Spikes


def contestant(cost: Cost, *, machine: SimulatedMachine | None = None) -> SimulatedContestant:
    return SimulatedContestant({}, cost, machine or SimulatedMachine(), batch_size=32, steps_per_epoch=100)


def test_a_throughput_is_that_of_the_loop() -> None:
    assert measure(contestant(Cost(0.02))).samples_per_second == pytest.approx(32 / 0.02)


def test_a_throughput_has_each_epochs_start_charged_and_the_trainings_start_not() -> None:
    measurement = measure(contestant(Cost(0.02, start_seconds=30.0, epoch_start_seconds=1.0)))

    assert measurement.samples_per_second == pytest.approx(3200 / (100 * 0.02 + 1.0))
    assert measurement.epoch_start_seconds == 1.0
    assert measurement.start_seconds == 30.0


def test_a_cached_batch_starts_no_epochs_and_waits_for_no_data() -> None:
    cost = Cost(0.02, wait_seconds=0.06, epoch_start_seconds=1.0)

    measurement = measure(contestant(cost), feed="cached")

    assert measurement.samples_per_second == pytest.approx(32 / 0.02)
    assert measurement.data_wait_share == 0.0


def test_the_shares_say_what_the_steps_spend_their_time_on() -> None:
    measurement = measure(contestant(Cost(0.02, wait_seconds=0.06)))

    assert measurement.data_wait_share == pytest.approx(0.75)
    assert measurement.compute_share == pytest.approx(0.2)
    assert measurement.optimizer_share == pytest.approx(0.05)
    assert measurement.copy_share == 0.0


def test_an_interval_holds_the_throughput_as_often_as_it_says() -> None:
    held = 0
    for seed in range(300):
        machine = SimulatedMachine(seed=seed, noises=(Jitter(), Spikes()))
        low, high = measure(contestant(Cost(0.02), machine=machine), blocks=6).interval
        held += low <= 32 / 0.02 <= high

    assert held / 300 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 300)


def test_what_was_around_is_a_range_over_the_blocks() -> None:
    measurement = measure(contestant(Cost(0.02, peak_memory_bytes=7)), blocks=3)

    assert len(measurement.blocks) == 3
    assert measurement.peak_memory_bytes == 7
    assert measurement.load == (1.0, 1.0)
    assert measurement.clock_mhz is None
    assert measurement.recompilations == 0
    assert measurement.allocator_retries == 0


def test_one_block_is_refused() -> None:
    with pytest.raises(InputError, match="needs blocks >= 2"):
        measure(contestant(Cost(0.02)), blocks=1)


@pytest.mark.parametrize("confidence", [0.4, 1.0])
def test_a_confidence_that_no_interval_can_have_is_refused(confidence: float) -> None:
    with pytest.raises(InputError, match="confidence"):
        measure(contestant(Cost(0.02)), confidence=confidence)


def test_a_noisier_machine_has_a_higher_noise_floor() -> None:
    floors = []
    for spread in (0.01, 0.1):
        machine = SimulatedMachine(noises=(Jitter(spread),))
        floors.append(noise_floor(contestant(Cost(0.02), machine=machine), contestant(Cost(0.02), machine=machine)))

    assert floors[0] < floors[1]


def test_a_machine_without_noise_has_no_noise_floor_even_as_it_drifts() -> None:
    machine = SimulatedMachine(noises=(Drift(),))

    floor = noise_floor(contestant(Cost(0.02), machine=machine), contestant(Cost(0.02), machine=machine))

    assert floor < 0.001


def test_twins_that_differ_for_good_have_that_difference_in_their_noise_floor() -> None:
    machine = SimulatedMachine()

    assert noise_floor(contestant(Cost(0.02), machine=machine), contestant(Cost(0.021), machine=machine)) >= 0.0499
