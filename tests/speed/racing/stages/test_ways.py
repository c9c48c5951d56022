from collections.abc import Mapping

import pytest

from autotune.events import Scalar
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.shared_arena import SharedArena
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.stages.ways import Ways
from tests.speed.simulated import Cost, SimulatedArena

ENTRIES = (
    Entry(KNOBS["num_workers"], (0, 1, 2)),
    Entry(KNOBS["cache"], ("off", "memory")),
    Entry(KNOBS["channels_last"], (False, True)),
)


def ways_from(setting: Mapping[str, Scalar]) -> Ways:
    arena = SimulatedArena(lambda _: Cost(compute_seconds=0.01))
    shared = SharedArena(arena, clock=lambda: arena.machine.now)
    incumbency = Incumbency(
        shared, baseline=setting, pace=Pace(), on_turns=lambda: None, clock=lambda: arena.machine.now
    )
    return Ways(incumbency, RacePlan(entries=ENTRIES, baseline=setting))


@pytest.mark.parametrize(
    ("hopes", "joint"),
    [
        ({"channels_last": True}, {"num_workers": 2, "channels_last": True}),
        ({"num_workers": 1}, {"num_workers": 2}),
        ({"cache": "memory"}, {"num_workers": 2}),  # which needs a loader without workers
        ({"channels_last": None}, {"num_workers": 2}),
    ],
)
def test_challenger_keeps_what_it_changes_beside_what_else_is_hoped_for(
    hopes: Mapping[str, Scalar], joint: Mapping[str, Scalar]
) -> None:
    assert ways_from({"num_workers": 1}).with_hopes({"num_workers": 2}, hopes) == joint
