"""How often a race finds what is there, and finds what is not, on simulated machines: whole races of two kinds.

- *a tenth*: two knobs that compute, one of which makes a step 10 % faster, or neither does; as much time as it takes;
- *workers*: steps that wait for data, epochs of 20 steps, and workers whose start costs what they win unless they stay;
  limited time, and how near the race comes to the best setting.

    python benchmarks/race_simulated.py [--races 150]
"""

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence

from autotune.events import Scalar
from autotune.speed import RacePlan, RaceResult, race
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from benchmarks.figures import header
from tests.speed.simulated import (
    Cost,
    Jitter,
    Noise,
    RandomWalk,
    Setting,
    SimulatedArena,
    SimulatedContestant,
    SimulatedMachine,
    Spikes,
    TwoClocks,
)

_STEPS_PER_EPOCH = 20
_ENTER_SECONDS = 0.8
_VALUES: Mapping[str, tuple[Scalar, ...]] = {
    "channels_last": (False, True),
    "optimizer_impl": ("for_loop", "foreach", "fused"),
    "num_workers": (0, 1, 2),
    "persistent_workers": (False, True),
    "in_order": (True, False),
    "torch_threads": (1, 2),
}
_WAIT_SECONDS = {0: 0.014, 1: 0.008, 2: 0.005}


def _jitter() -> Sequence[Noise]:
    return (Jitter(0.1),)


def _spikes() -> Sequence[Noise]:
    return (Jitter(0.05), Spikes(0.1))


def _two_clocks() -> Sequence[Noise]:
    return (Jitter(0.02), TwoClocks())


def _walk() -> Sequence[Noise]:
    return (RandomWalk(0.1), Jitter(0.05))


NOISES: Mapping[str, Callable[[], Sequence[Noise]]] = {
    "jitter of 10 %": _jitter,
    "spikes": _spikes,
    "two clocks": _two_clocks,
    "a walk": _walk,
}


class Starting(SimulatedArena):
    """Contestants that take a while to enter."""

    def enter(self, setting: Setting, *, seed: int = 0) -> SimulatedContestant:  # type: ignore[explicit-override]
        """As any other, later."""
        self.machine.now += _ENTER_SECONDS
        return super().enter(setting, seed=seed)


def entries(*names: str) -> tuple[Entry, ...]:
    """Knobs with their values here."""
    return tuple(Entry(KNOBS[name], _VALUES[name]) for name in names)


def race_tenth(noises: Sequence[Noise], *, seed: int, gain: float) -> RaceResult:
    """A race in which one knob makes a step faster by so much."""

    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=0.01 / (1 + gain if setting.get("channels_last") else 1))

    machine = SimulatedMachine(seed=seed, noises=tuple(noises), start_spread=0.01)
    plan = RacePlan(entries=entries("channels_last", "optimizer_impl"), baseline={}, seconds=1e6)
    return race(SimulatedArena(cost, machine=machine), plan, clock=lambda: machine.now)


def with_workers(setting: Setting) -> Cost:
    """A step that waits for data, and workers that start slowly."""
    workers = int(str(setting.get("num_workers", 0)))
    return Cost(
        compute_seconds=0.018 * (0.97 if setting.get("optimizer_impl") == "fused" else 1.0),
        wait_seconds=_WAIT_SECONDS[workers],
        start_seconds=0.5,
        epoch_start_seconds=0.0 if setting.get("persistent_workers") else 0.03 * workers,
    )


def race_workers(jitter: float, *, seed: int, seconds: float) -> float:
    """How fast the race's setting is, over the best."""
    machine = SimulatedMachine(seed=seed, noises=(Jitter(jitter), Spikes(0.05, 2.0)))
    plan = RacePlan(entries=entries(*_VALUES), baseline={}, seconds=seconds)
    arena = Starting(with_workers, machine=machine, steps_per_epoch=_STEPS_PER_EPOCH)
    found = race(arena, plan, clock=lambda: machine.now).setting
    best: Setting = {"num_workers": 2, "persistent_workers": True, "optimizer_impl": "fused"}
    return _seconds_per_step(best) / _seconds_per_step(found)


def _seconds_per_step(setting: Setting) -> float:
    cost = with_workers(setting)
    return cost.step_seconds("real") + cost.epoch_start_seconds / _STEPS_PER_EPOCH


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=150, help="of each row")
    num_races = parser.parse_args().races
    print(header())
    print(f"\nof {num_races} races each: a true 10 % found, and winners where there is none")
    for name, noises in NOISES.items():
        found = sum("channels_last" in race_tenth(noises(), seed=seed, gain=0.1).setting for seed in range(num_races))
        false = sum(race_tenth(noises(), seed=seed, gain=0.0).gain is not None for seed in range(num_races))
        print(f"  {name:16s} {found:4d} {false:4d}", flush=True)
    print(f"\nworkers, {num_races} races each: speed of the race's setting over the best, mean and least")
    for jitter in (0.05, 0.1):
        for seconds in (25.0, 40.0):
            ratios = [race_workers(jitter, seed=seed, seconds=seconds) for seed in range(num_races)]
            row = f"{statistics.fmean(ratios):.3f} {min(ratios):.3f}"
            print(f"  jitter of {jitter:.0%} and spikes, {seconds:.0f} s: {row}", flush=True)


if __name__ == "__main__":
    main()
