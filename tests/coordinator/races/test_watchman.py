import time

from autotune.coordinator.races.watchman import Watchman
from autotune.coordinator.speeds import Floor
from autotune.coordinator.standing import Standing
from autotune.errors import StorageGoneError
from autotune.outages import persist, waiting_out
from autotune.spec.model import Budget, Objective
from autotune.trial.leases import Lease


def test_outage_in_a_race_is_not_charged_to_it() -> None:
    """A race of 60 s whose server was gone for a minute had no time left, and one of 20 s was ended."""
    gone: list[float] = []

    def write() -> None:
        gone.append(time.monotonic())
        if len(gone) < 4:
            raise StorageGoneError("postgresql://: its server answers, got none", cause="none")

    ends: list[float] = []

    def on_wait(ends_at: float) -> None:
        ends.append(ends_at)
        persist(write)

    standing = Standing(
        name="raced",
        storage="",
        objectives=[Objective(metric="val_loss", direction="minimize")],
        budget=Budget(trials=3),
    )
    charged: list[float] = []
    floor = Floor(Lease("cpu", visible_devices=None, cores=(0,)), is_alone=True, clear=lambda: None, on_wait=on_wait)
    before = standing.elapsed_seconds
    watchman = Watchman(charged.append, standing, floor, seconds=60.0)
    with waiting_out(lambda _: None):
        watchman.check()
        watchman.check()
    outage = gone[3] - gone[1]
    watchman.charge()
    assert outage > 0.25
    assert sum(charged) == standing.speed_seconds <= standing.elapsed_seconds - before - outage
    assert ends[1] >= ends[0] + outage
