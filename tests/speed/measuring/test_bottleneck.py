"""Shares of a step's time, and what is said of them."""

import math
from collections.abc import Mapping
from functools import partial

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

    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        del seconds
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


class Long(Uncut):
    """Takes as many steps around its blocks as a process does, and has a clock of its own."""

    def __init__(self, step_seconds: float, *, wait_seconds: float = 0.0, num_workers: int = 0) -> None:
        super().__init__(32, step_seconds=step_seconds)
        self.warmed = Uncut.warmed.model_copy(update={"in_force": {"num_workers": num_workers}})
        self.wait_seconds = wait_seconds
        self.now = 0.0
        self.last_feed: Feed | None = None
        self.num_steps: dict[Feed, int] = {}
        """Of the last block of each kind."""

    @override
    def run_block(self, *, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
        step = self._step_seconds * (0.5 if feed == "half" else 1.0) + (self.wait_seconds if feed == "real" else 0.0)
        around = 1 if feed == "real" != self.last_feed else 3 if feed == "half" and feed not in self.num_steps else 0
        self.last_feed = feed
        steps = self.num_steps[feed] = max(min_steps, math.ceil(seconds / step))
        self.now += (around + steps) * step
        whole = super().run_block(seconds=seconds, min_steps=steps, feed=feed)
        return whole.model_copy(
            update={"samples": whole.samples // (2 if feed == "half" else 1), "seconds": steps * step}
        )


@pytest.mark.parametrize(("step_seconds", "num_rounds"), [(0.01, 3), (0.1, 3), (0.4, 2), (0.9, 1), (1.5, 1)])
def test_bottleneck_of_slow_steps_is_known_from_fewer_blocks(step_seconds: float, num_rounds: int) -> None:
    contestant = Long(step_seconds)
    found = diagnose(contestant, seconds=0.1, min_steps=2, clock=partial(getattr, contestant, "now"))
    assert found.num_rounds == num_rounds
    assert found.input_share == 0.0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("num_workers", "longest"), [(0, 3.2), (1, 3.2), (4, 2.4)])
def test_bottleneck_is_known_within_ten_seconds_however_long_a_step_takes(
    num_workers: int, longest: float, share: float
) -> None:
    """It took longer from steps of 0.8 s on."""
    for step_seconds in [0.05 * number for number in range(1, round(longest / 0.05) + 1)]:
        contestant = Long((1 - share) * step_seconds, wait_seconds=share * step_seconds, num_workers=num_workers)
        found = diagnose(contestant, seconds=0.1, min_steps=2, clock=partial(getattr, contestant, "now"))
        assert contestant.now < 10
        assert found.input_share == pytest.approx(share)
        assert found.half_seconds is not None or step_seconds > 1.2


def test_real_loop_whose_batches_come_from_several_workers_is_looked_at_for_more_than_one_step() -> None:
    """These tend to come together: one step shows a loop that never waits, or one that only waits."""
    for num_workers, steps in ((0, 1), (1, 1), (2, 2), (4, 2)):
        contestant = Long(2.0, num_workers=num_workers)
        diagnose(contestant, seconds=0.1, min_steps=2, clock=partial(getattr, contestant, "now"))
        assert contestant.num_steps == {"real": steps, "cached": 1}


def test_diagnosis_says_on_how_few_blocks_it_rests() -> None:
    long, middling, short = (
        diagnose(contestant, seconds=0.1, min_steps=2, clock=partial(getattr, contestant, "now"))
        for contestant in (Long(2.0), Long(0.4), Long(0.01))
    )
    ending = "of a step does not wait for data (2 s a step, 2 s with a batch that is there already; one block of each)"
    assert long.words == f"not input-bound: 100% {ending}"
    assert middling.words.endswith(
        "(half the batch takes 50% of the time; 400 ms a step, 400 ms with a batch that is"
        " there already; two blocks of each)"
    )
    assert "block" not in short.words


def test_contestant_that_is_lost_on_half_a_batch_is_told_from_others() -> None:
    lost = ContestantLostError("crashed", "the mask is of 32 x 32")
    with pytest.raises(HalfBatchError, match="mask"):
        diagnose(SimulatedArena(lambda _: Cost(compute_seconds=0.01, half_failure=lost)).enter({}))
    with pytest.raises(ContestantLostError) as caught:
        diagnose(SimulatedArena(lambda _: Cost(compute_seconds=0.01, block_failure=lost)).enter({}))
    assert not isinstance(caught.value, HalfBatchError)
