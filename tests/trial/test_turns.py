"""Contestants as processes on a device that holds one of them: they take turns, each started for its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry
from autotune.speed.knobs.knob import Knob
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race import race
from autotune.speed.racing.result import RaceResult
from autotune.trial.arena import ProcessArena
from autotune.trial.launcher import Launcher
from tests.trial.listening import FOLDER, order

EXCLUSIVE = f"{FOLDER / 'raced.py'}:Exclusive"
PACE = Pace(block_seconds=0.05, turn_seconds=0.1)


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with Launcher.start(EXCLUSIVE, method="fork_server") as launcher:
        yield launcher


def run(launcher: Launcher, folder: Path, *pauses: int, **faults: Scalar) -> RaceResult:
    """A race of these milliseconds a step, the baseline's first."""
    knob = Knob(
        name="pause",
        choices=pauses,
        simplest=pauses[0],
        numerics="exact",
        needs="relaunch",
        moves=("launch", "compute"),
        summary="",
        docs="",
    )
    device_file = str(folder / "device")
    ordered = order(folder, task=EXCLUSIVE, number=0, batch_size=8, device_file=device_file, **faults)
    with ProcessArena(launcher, ordered, folder=folder) as arena:
        plan = RacePlan(entries=(Entry(knob, pauses),), baseline={"pause": pauses[0]}, seconds=1e6, pace=PACE)
        return race(arena, plan)


def test_processes_that_fit_one_at_a_time_are_raced_in_turns(launcher: Launcher, tmp_path: Path) -> None:
    # By so much that a machine which stands still for most of a block hides it in none of the few.
    result = run(launcher, tmp_path, 40, 2)
    assert result.setting == {"pause": 2}
    assert result.gain is not None
    assert result.gain.is_in_turns
    assert result.gain.low > 1
    assert not any("out of memory" in heat.reason for heat in result.heats)


def test_challenger_that_dies_in_its_turn_is_infeasible_and_the_race_goes_on(
    launcher: Launcher, tmp_path: Path
) -> None:
    result = run(launcher, tmp_path, 8, 4, faulty_pause=4, faulty_start=1, fault="segfault")
    (heat,) = result.heats
    assert heat.verdict == "infeasible"
    assert heat.reason.startswith("crashed: it could not be started again")
    assert result.setting == {"pause": 8}
    assert result.ended_by is None


def test_race_whose_setting_to_beat_can_not_be_started_again_ends_with_what_is_known(
    launcher: Launcher, tmp_path: Path
) -> None:
    result = run(launcher, tmp_path, 4, 3, faulty_pause=4, faulty_start=2, fault="leave")
    assert result.setting == {"pause": 4}
    assert result.ended_by is not None
    assert result.samples_per_second > 0
