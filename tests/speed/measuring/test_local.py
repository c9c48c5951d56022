from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from autotune.errors import InputError
from autotune.events import Scalar
from autotune.speed import Entry, Knob, LocalArena, LocalContestant, RacePlan, compare, measure, race
from autotune.speed.measuring.arena import ContestantLostError


class Machine:
    """A clock that only steps move, and how often the device was waited for."""

    def __init__(self) -> None:
        self.now = 0.0
        self.num_steps = 0
        self.num_waits = 0

    def clock(self) -> float:
        return self.now

    def wait(self) -> None:
        self.num_waits += 1

    def step(self, seconds: float, *, samples: int | None = 16, slow_steps: int = 0) -> Callable[[], int | None]:
        """A step; its first ones take a second each."""
        left = slow_steps

        def train() -> int | None:
            nonlocal left
            self.num_steps += 1
            self.now += 1.0 if left > 0 else seconds
            left -= 1
            return samples

        return train

    def contestant(self, step: Callable[[], int | None]) -> LocalContestant:
        return LocalContestant(step, synchronize=self.wait, clock=self.clock)


def test_a_block_is_as_long_as_asked_for_and_counts_steps_and_samples() -> None:
    machine = Machine()

    block = machine.contestant(machine.step(0.125)).run_block(seconds=1.0, min_steps=5)

    assert (block.steps, block.samples) == (8, 128)
    assert block.seconds == pytest.approx(1.0)


def test_a_block_of_slow_steps_has_the_fewest_steps_asked_for() -> None:
    machine = Machine()

    assert machine.contestant(machine.step(0.5)).run_block(seconds=0.2, min_steps=5).steps == 5


def test_a_step_that_returns_nothing_counts_as_one_sample() -> None:
    machine = Machine()

    block = machine.contestant(machine.step(0.125, samples=None)).run_block(seconds=1.0, min_steps=5)

    assert block.samples == block.steps == 8


def test_steps_without_samples_are_refused() -> None:
    machine = Machine()

    with pytest.raises(InputError, match="a block needs samples, got 0"):
        machine.contestant(machine.step(0.125, samples=0))


@pytest.mark.parametrize(
    ("returned", "got"), [(0.7, "float"), (True, "bool"), (torch.tensor(0.7), "Tensor"), (torch.ones(2), "Tensor")]
)
def test_what_a_step_returns_is_not_added_up_unless_it_is_a_number_of_samples(returned: object, got: str) -> None:
    """A loss came out as samples, or as an error of pydantic's."""
    with pytest.raises(InputError, match=f"^step: must return its samples, a whole number, got a {got}; return"):
        measure(lambda: returned, blocks=2, seconds=0.0)  # type: ignore[arg-type,return-value]


def test_samples_may_be_any_kind_of_whole_number() -> None:
    block = LocalContestant(lambda: np.int64(16)).run_block(seconds=0.0, min_steps=5)  # type: ignore[arg-type,return-value]

    assert (block.steps, block.samples) == (5, 80)


def test_the_device_is_waited_for_at_the_ends_of_a_block_and_never_at_a_step() -> None:
    machine = Machine()
    contestant = machine.contestant(machine.step(0.01))
    before = machine.num_waits

    contestant.run_block(seconds=1.0, min_steps=5)

    assert machine.num_waits - before == 2


def test_a_warm_up_lasts_until_the_steps_have_settled_and_its_cost_is_the_start() -> None:
    machine = Machine()

    contestant = machine.contestant(machine.step(0.125, slow_steps=2))

    assert contestant.warmed.start_seconds == pytest.approx(2 * (1 - 0.125))
    assert contestant.run_block(seconds=1.0, min_steps=5).steps == 8


def test_a_warm_up_of_steps_that_never_settle_ends() -> None:
    machine = Machine()
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1
        machine.now += 0.1 if calls % 2 else 0.3

    machine.contestant(step)

    assert calls == 30


def test_two_step_functions_are_compared() -> None:
    machine = Machine()

    comparison = compare(machine.contestant(machine.step(0.02)), machine.contestant(machine.step(0.01)))

    assert comparison.verdict == "faster"
    assert comparison.ratio == pytest.approx(2.0)


def test_plain_functions_are_compared_and_measured() -> None:
    comparison = compare(lambda: sum(range(100)), lambda: sum(range(100)), quads=2, seconds=0.0, min_steps=5)

    assert comparison.num_quads == 2
    measurement = measure(lambda: 8, blocks=2, seconds=0.0, min_steps=5)
    assert measurement.compute_share == pytest.approx(1.0)
    assert measurement.optimizer_share is None  # inside of it


def test_a_function_is_fed_by_itself_alone() -> None:
    machine = Machine()

    with pytest.raises(ContestantLostError, match="brings its own batches, got cached") as lost:
        machine.contestant(machine.step(0.02)).run_block(seconds=0.2, min_steps=5, feed="cached")

    assert lost.value.kind == "unsupported"


def test_an_arena_makes_the_step_of_a_setting() -> None:
    machine = Machine()
    arena = LocalArena(lambda setting: machine.step(0.125 if setting["fast"] else 0.25), clock=machine.clock)

    contestant = arena.enter({"fast": True})

    assert contestant.setting == {"fast": True}
    assert contestant.run_block(seconds=1.0, min_steps=1).steps == 8


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (MemoryError("no room"), "out of memory", "MemoryError: no room"),
        (OutOfMemoryError("CUDA out of memory.\nTried"), "out of memory", "OutOfMemoryError: CUDA out of memory."),
        (RuntimeError("CUDA error: out of memory"), "out of memory", "RuntimeError: CUDA error: out of memory"),
        (ValueError("odd"), "crashed", "ValueError: odd"),
        (RuntimeError(), "crashed", "RuntimeError"),
    ],
)
def test_an_error_loses_the_contestant_with_its_reason(error: Exception, kind: str, reason: str) -> None:
    def refuse(setting: Mapping[str, Scalar]) -> Callable[[], int]:
        del setting
        raise error

    def make(setting: Mapping[str, Scalar]) -> Callable[[], int]:
        def step() -> int:
            raise error

        del setting
        return step

    for arena in (LocalArena(refuse), LocalArena(make)):
        with pytest.raises(ContestantLostError) as lost:
            arena.enter({})

        assert (lost.value.kind, str(lost.value)) == (kind, reason)


def test_a_step_function_of_ones_own_raises_its_own_error() -> None:
    def step() -> int:
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        compare(step, step)


def test_a_contestant_whose_step_raises_is_retired() -> None:
    def step() -> int | None:
        if machine.clock() > 1.0:
            raise ValueError("odd")
        return machine.step(0.02)()

    machine = Machine()
    contestant = LocalArena(lambda _: step, clock=machine.clock).enter({})
    with pytest.raises(ContestantLostError, match="ValueError: odd"):
        contestant.run_block(seconds=2.0, min_steps=1)
    assert contestant.is_retired


def test_a_knob_of_ones_own_is_raced_among_step_functions() -> None:
    machine = Machine()
    knob = Knob(
        name="layout",
        summary="rows or columns first",
        numerics="exact",
        needs="live",
        simplest="rows",
        docs="",
        choices=("rows", "columns", "neither"),
    )

    def make_step(setting: Mapping[str, Scalar]) -> Callable[[], int | None]:
        if setting.get("layout") == "neither":
            raise ValueError("no such layout")
        return machine.step(0.01 if setting.get("layout") == "columns" else 0.02)

    plan = RacePlan(entries=(Entry(knob, knob.choices),), baseline={"layout": "rows"})
    result = race(LocalArena(make_step, clock=machine.clock), plan, clock=machine.clock)

    assert result.setting == {"layout": "columns"}
    assert result.gain is not None
    assert result.gain.ratio == pytest.approx(2.0)
    assert [heat.reason for heat in result.heats if heat.verdict == "infeasible"] == [
        "crashed: ValueError: no such layout"
    ]
