"""Contestants with a CUDA context each: they take turns on one device, and free it when they go."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from autotune.events import Feed, Scalar
from autotune.speed.knobs.entries import Entry
from autotune.speed.knobs.knob import Knob
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race import race
from autotune.trial.arena import ProcessArena
from autotune.trial.launcher import Launcher
from autotune.trial.leases import make_pool
from tests.trial.listening import FOLDER, order

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]

FAULTY = f"{FOLDER / 'raced.py'}:Faulty"
LARGE = f"{FOLDER / 'raced.py'}:Large"
PACE = Pace(turn_seconds=0.2, turn_floor_quads=2, turn_screen_quads=3, turn_confirm_quads=3)
"""Enough for a setting that is twice as fast: each quad in turns costs two starts on the device."""


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with Launcher.start(FAULTY, method="fork_server") as launcher:
        yield launcher


@pytest.fixture
def arena(launcher: Launcher, tmp_path: Path) -> Iterator[ProcessArena]:
    lease = make_pool("cuda", facts=launcher.facts, jobs=1).acquire()
    assert lease is not None
    on_gpu = order(tmp_path, task=FAULTY, batch_size=8).model_copy(
        update={"device": lease.device, "visible_devices": lease.visible_devices, "cores": lease.cores}
    )
    with ProcessArena(launcher, on_gpu, folder=tmp_path) as arena:
        yield arena


def test_frozen_contestant_goes_on_where_it_was(arena: ProcessArena) -> None:
    """Without a synchronisation before it is stopped, its kernels would run into the other's block."""
    first, second = arena.enter({}), arena.enter({"num_workers": 1, "pin_memory": True})
    assert first.warmed.device == second.warmed.device == "cuda:0"
    blocks = [each.run_block(seconds=0.1, min_steps=5) for each in (first, second, second, first)]
    assert all(block.seconds >= 0.1 for block in blocks)
    assert blocks[3].first_step == blocks[0].first_step + blocks[0].steps
    assert all(block.losses == pytest.approx(block.losses) for block in blocks)  # NaN is no approximation of itself


def test_retired_contestant_leaves_the_device_to_the_next(arena: ProcessArena) -> None:
    before = torch.cuda.mem_get_info()[0]
    for _ in range(3):
        arena.enter({}).retire()
    assert torch.cuda.mem_get_info()[0] > before - 2**28  # a context alone is larger


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_contestant_is_warm_and_stays_so(arena: ProcessArena, mode: Scalar) -> None:
    contestant = arena.enter({"compile": mode})
    assert contestant.warmed.in_force["compile"] == mode
    feeds: tuple[Feed, ...] = ("real", "cached", "half", "cached", "real")
    blocks = [contestant.run_block(seconds=0.1, min_steps=5, feed=feed) for feed in feeds]
    assert [block.recompilations for block in blocks] == [0] * len(feeds)
    assert contestant.warmed.start_seconds > max(block.seconds / block.steps for block in blocks)


@pytest.mark.timeout(600)
def test_training_that_takes_most_of_the_device_is_raced_in_turns(tmp_path: Path) -> None:
    """Two of 60 % of the device have no room side by side: told from the first that ran out, and then raced alone."""
    knob = Knob(
        name="pause",
        choices=(40, 20),
        simplest=40,
        numerics="exact",
        needs="relaunch",
        moves=("launch", "compute"),
        summary="",
        docs="",
    )
    with Launcher.start(LARGE, method="fork_server") as launcher:
        lease = make_pool("cuda", facts=launcher.facts, jobs=1).acquire()
        assert lease is not None
        on_gpu = order(tmp_path, task=LARGE, batch_size=8, device_share=0.6).model_copy(
            update={"device": lease.device, "visible_devices": lease.visible_devices, "cores": lease.cores}
        )
        with ProcessArena(launcher, on_gpu, folder=tmp_path) as arena:
            plan = RacePlan(entries=(Entry(knob, (40, 20)),), baseline={"pause": 40}, seconds=1e6, pace=PACE)
            result = race(arena, plan)
    assert result.setting == {"pause": 20}
    assert result.gain is not None
    assert result.gain.is_in_turns
    assert not any(heat.verdict == "infeasible" for heat in result.heats)
