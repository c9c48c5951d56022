"""How often a race finds what is there, and finds what is not, on simulated machines: whole races of two kinds.

- *a tenth*: two knobs that compute, one of which makes a step 10 % faster, or neither does; as much time as it takes;
- *workers*: steps that wait for data, epochs of 20 steps, and workers whose start costs what they win unless they stay;
  limited time, and how near the race comes to the best setting;
- *long steps*: of 32 ms on two cores, which workers and threads share, so that a heat has few quads; likewise limited.
  On one machine knobs gain *apart*, whatever the others are; on the other *together*, about as measured of augmented
  MNIST in batches of 128: a second worker gains beside channels_last alone, and channels_last beside that alone.

    python benchmarks/race_simulated.py [--races 150]
"""

import argparse
import math
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
_NEAR = 0.97
"""Of the best setting's speed, what a race is to come to."""
_VALUES: Mapping[str, tuple[Scalar, ...]] = {
    "channels_last": (False, True),
    "optimizer_impl": ("for_loop", "foreach", "fused"),
    "num_workers": (0, 1, 2),
    "persistent_workers": (False, True),
    "in_order": (True, False),
    "torch_threads": (1, 2),
    "allocator": ("default", "retain"),
    "prefetch_factor": (2, 8),
}
_OF_WORKERS = "channels_last", "optimizer_impl", "num_workers", "persistent_workers", "in_order", "torch_threads"
_OF_LONG_STEPS = ("torch_threads", "allocator", "num_workers", "persistent_workers", "prefetch_factor", "channels_last")
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

    def enter(  # type: ignore[explicit-override]
        self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf
    ) -> SimulatedContestant:
        """As any other, later."""
        self.machine.now += _ENTER_SECONDS
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


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
    plan = RacePlan(entries=entries(*_OF_WORKERS), baseline={}, seconds=seconds)
    arena = Starting(with_workers, machine=machine, steps_per_epoch=_STEPS_PER_EPOCH)
    found = race(arena, plan, clock=lambda: machine.now).setting
    best: Setting = {"num_workers": 2, "persistent_workers": True, "optimizer_impl": "fused"}
    return _seconds_per_step(best) / _seconds_per_step(found)


def _seconds_per_step(setting: Setting) -> float:
    cost = with_workers(setting)
    return cost.step_seconds("real") + cost.epoch_start_seconds / _STEPS_PER_EPOCH


def apart(setting: Setting) -> Cost:
    """A long step, with knobs that gain whatever the others are."""
    workers, threads = _num_workers(setting), int(str(setting.get("torch_threads", 2)))
    is_crowded = workers > 0 and threads > 1
    step = 0.032 / {0: 1.0, 1: 1.5, 2: 1.65}[0 if is_crowded else workers]
    step *= 1.3 if threads == 1 and not workers else 1.0
    step /= 1.03 if setting.get("channels_last") else 1.0
    return _long_step(setting, step, share_of_waiting={0: 0.65, 1: 0.2, 2: 0.12}[workers])


_TOGETHER: Mapping[tuple[int, int, bool], tuple[float, float]] = {
    (0, 2, False): (0.0330, 0.0130),
    (0, 2, True): (0.0300, 0.0110),
    (0, 1, False): (0.0430, 0.0205),
    (0, 1, True): (0.0370, 0.0147),
    (1, 2, False): (0.0400, 0.0250),
    (1, 2, True): (0.0376, 0.0230),
    (1, 1, False): (0.0256, 0.0205),
    (1, 1, True): (0.0254, 0.0147),
    (2, 2, False): (0.0403, 0.0280),
    (2, 2, True): (0.0362, 0.0260),
    (2, 1, False): (0.0268, 0.0220),
    (2, 1, True): (0.0237, 0.0160),
}
"""Seconds of a step and of one whose batch is there, by workers, threads and channels_last: two cores of an EPYC."""


def together(setting: Setting) -> Cost:
    """A long step, with knobs that gain beside one another alone."""
    threads = int(str(setting.get("torch_threads", 2)))
    step, cached = _TOGETHER[_num_workers(setting), threads, bool(setting.get("channels_last"))]
    return _long_step(setting, step, share_of_waiting=1 - cached / step)


def _long_step(setting: Setting, seconds: float, *, share_of_waiting: float) -> Cost:
    workers = _num_workers(setting)
    return Cost(
        compute_seconds=seconds * (1 - share_of_waiting),
        wait_seconds=seconds * share_of_waiting,
        start_seconds=0.1 * workers,
        epoch_start_seconds=0.03 * workers if setting.get("persistent_workers") else 0.035 * workers,
        in_force={"torch_threads": 2, **setting},
    )


def _num_workers(setting: Setting) -> int:
    return int(str(setting.get("num_workers", 0)))


_LONG: Mapping[str, tuple[Callable[[Setting], Cost], Setting]] = {
    "apart": (apart, {"num_workers": 2, "persistent_workers": True, "torch_threads": 1, "channels_last": True}),
    "together": (together, {"num_workers": 2, "persistent_workers": True, "torch_threads": 1, "channels_last": True}),
}
"""Of each machine what a setting costs, and the best of them."""


def race_long_steps(machine_name: str, jitter: float, *, seed: int, seconds: float) -> tuple[float, float]:
    """How fast the race's setting is, over the best; and the share of its seconds that the race took."""
    cost, best = _LONG[machine_name]
    machine = SimulatedMachine(seed=seed, noises=(Jitter(jitter), Spikes(0.05, 2.0)), start_spread=0.01)
    plan = RacePlan(entries=entries(*_OF_LONG_STEPS), baseline={}, seconds=seconds)
    result = race(Starting(cost, machine=machine, steps_per_epoch=32), plan, clock=lambda: machine.now)
    costs = [cost(setting) for setting in (best, result.setting)]
    fastest, found = (each.step_seconds("real") + each.epoch_start_seconds / 32 for each in costs)
    return fastest / found, result.seconds / seconds


def main() -> None:
    """Print the tables."""
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
        for seconds in (15.0, 25.0, 40.0):
            ratios = [race_workers(jitter, seed=seed, seconds=seconds) for seed in range(num_races)]
            row = f"{statistics.fmean(ratios):.3f} {min(ratios):.3f}"
            print(f"  jitter of {jitter:.0%} and spikes, {seconds:.0f} s: {row}", flush=True)
    print(f"\nsteps of 32 ms, {num_races} races each: likewise median, mean, least and how many come to 0.97;")
    print("and of its seconds what a race takes, mean and most")
    for name in _LONG:
        for jitter in (0.05, 0.1):
            for seconds in (12.0, 42.0):
                outcomes = [race_long_steps(name, jitter, seed=seed, seconds=seconds) for seed in range(num_races)]
                print(f"  {name}, jitter of {jitter:.0%}, {seconds:.0f} s: {_long_steps_row(outcomes)}", flush=True)


def _long_steps_row(outcomes: Sequence[tuple[float, float]]) -> str:
    speeds, took = [speed for speed, _ in outcomes], [share for _, share in outcomes]
    row = f"{statistics.median(speeds):.3f} {statistics.fmean(speeds):.3f} {min(speeds):.3f}"
    row += f" {sum(speed >= _NEAR for speed in speeds)}"
    return f"{row}; {statistics.fmean(took):.3f} {max(took):.3f}"


if __name__ == "__main__":
    main()
