"""Shares of a step's time, and what is said of them."""

from collections.abc import Mapping

import pytest
from typing_extensions import override

from autotune.events import Block, Feed, Scalar, Warmed
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.bottleneck import HalfBatchError, diagnose, split
from tests.speed.simulated import Cost, SimulatedArena, SimulatedContestant, SimulatedMachine


def test_half_batch_that_takes_longer_by_noise_is_said_to_take_as_long() -> None:
    assert "(half the batch takes as long; 10.1 ms a step)" in split(real=0.0101, cached=0.01, half=0.0124).words
    assert "half the batch takes as long" in split(real=0.0101, cached=0.01, half=0.00996).words
    assert "half the batch takes 90% of the time" in split(real=0.0101, cached=0.01, half=0.009).words


@pytest.mark.parametrize(("times", "share"), [(1.0, 0.0909), (4.0, 0.2857)])
def test_share_of_the_input_grows_as_the_rest_gets_faster(times: float, share: float) -> None:
    assert split(real=0.011, cached=0.01, half=0.01).input_share_at(times) == pytest.approx(share, abs=1e-4)


def test_fetch_that_the_device_hides_is_waited_for_by_a_faster_step() -> None:
    found = split(real=0.01, cached=0.01, half=0.01, fetch=0.001)
    assert found.input_share == 0.0
    assert found.input_share_at(4.0) == pytest.approx(0.2857, abs=1e-4)


class Uncut:
    """A contestant whose batches of so many samples can't be cut."""

    setting: Mapping[str, Scalar] = {}
    is_retired = False
    warmed = Warmed(
        in_force={}, device="cpu", start_seconds=0, epoch_start_seconds=0, steps_per_epoch=None, peak_memory_bytes=1
    )

    def __init__(self, num_samples: int, *, step_seconds: float = 0.01) -> None:
        self._num_samples = num_samples
        self._step_seconds = step_seconds
        self.num_blocks = 0

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        del seconds
        self.num_blocks += 1
        return Block(
            feed=feed,
            steps=min_steps,
            samples=min_steps * self._num_samples,
            seconds=self._step_seconds * min_steps,
            data_wait_seconds=0,
            copy_seconds=0,
            compute_seconds=self._step_seconds * min_steps,
            optimizer_seconds=None,
            peak_memory_bytes=1,
        )

    def retire(self) -> None:
        raise AssertionError


def test_batch_that_cant_be_cut_says_nothing_of_launches() -> None:
    found = diagnose(Uncut(32))
    assert found.half_seconds is None
    assert set(found.worth_moving) == {"compute", "launch"}
    assert found.words.startswith("not input-bound")


def test_batch_of_a_few_samples_is_all_launches() -> None:
    assert diagnose(Uncut(2)).worth_moving == ("launch",)


class Disturbed(SimulatedContestant):
    """Other programs take the machine whenever it trains on a cached batch."""

    @override
    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        block = super().run_block(seconds=seconds, min_steps=min_steps, feed=feed)
        return block.model_copy(update={"seconds": 2 * block.seconds}) if feed == "cached" else block


def test_starts_of_epochs_are_seen_on_a_machine_that_others_use() -> None:
    cost = Cost(compute_seconds=0.01, epoch_start_seconds=0.1)
    found = diagnose(Disturbed({}, cost, SimulatedMachine(), steps_per_epoch=10))
    assert found.input_share == pytest.approx(0.5)
    assert found.kind == "input"


@pytest.mark.parametrize(("step_seconds", "num_blocks"), [(0.01, 9), (0.4, 6), (1.5, 3)])
def test_bottleneck_of_slow_steps_is_known_from_fewer_blocks(step_seconds: float, num_blocks: int) -> None:
    contestant = Uncut(32, step_seconds=step_seconds)
    diagnose(contestant, min_steps=2)
    assert contestant.num_blocks == num_blocks
    assert contestant.num_blocks * 2 * step_seconds < 10


def test_contestant_that_is_lost_on_half_a_batch_is_told_from_others() -> None:
    lost = ContestantLostError("crashed", "the mask is of 32 x 32")
    with pytest.raises(HalfBatchError, match="mask"):
        diagnose(SimulatedArena(lambda _: Cost(compute_seconds=0.01, half_failure=lost)).enter({}))
    with pytest.raises(ContestantLostError) as caught:
        diagnose(SimulatedArena(lambda _: Cost(compute_seconds=0.01, block_failure=lost)).enter({}))
    assert not isinstance(caught.value, HalfBatchError)
