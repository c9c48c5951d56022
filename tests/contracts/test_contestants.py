"""What a race relies on, of contestants of every kind that runs in this process."""

from collections.abc import Callable

import pytest

from autotune.events import Scalar
from autotune.speed import LocalArena
from autotune.speed.measuring.arena import Arena
from tests.speed.simulated import Cost, SimulatedArena

STEP_SECONDS = 0.125


def local() -> Arena:
    now = 0.0

    def step() -> int:
        nonlocal now
        now += STEP_SECONDS
        return 16

    return LocalArena(lambda _: step, clock=lambda: now)


def simulated() -> Arena:
    return SimulatedArena(lambda _: Cost(STEP_SECONDS), batch_size=16)


@pytest.fixture(params=[local, simulated])
def arena(request: pytest.FixtureRequest) -> Arena:
    build: Callable[[], Arena] = request.param
    return build()


SETTING: dict[str, Scalar] = {"num_workers": 2}


def test_a_contestant_knows_its_setting(arena: Arena) -> None:
    assert dict(arena.enter(SETTING).setting) == SETTING


def test_a_block_is_at_least_as_long_as_asked_for(arena: Arena) -> None:
    block = arena.enter(SETTING).run_block(seconds=1.9, min_steps=1)

    assert block.seconds >= 1.9
    assert block.steps * STEP_SECONDS == pytest.approx(block.seconds)


def test_a_block_has_at_least_the_steps_asked_for(arena: Arena) -> None:
    block = arena.enter(SETTING).run_block(seconds=0.0, min_steps=7)

    assert (block.steps, block.samples) == (7, 7 * 16)


def test_the_parts_of_a_block_are_no_more_than_the_whole(arena: Arena) -> None:
    block = arena.enter(SETTING).run_block(seconds=1.0, min_steps=5)

    parts = block.data_wait_seconds + block.copy_seconds + block.compute_seconds + (block.optimizer_seconds or 0.0)
    assert parts <= block.seconds + 1e-9


def test_contestants_of_one_setting_are_two(arena: Arena) -> None:
    first, second = arena.enter(SETTING), arena.enter(SETTING)

    first.retire()

    assert second.run_block(seconds=0.0, min_steps=1).steps == 1


def test_a_contestant_is_retired_once_and_for_all(arena: Arena) -> None:
    contestant = arena.enter(SETTING)
    assert not contestant.is_retired

    contestant.retire()
    contestant.retire()

    assert contestant.is_retired
