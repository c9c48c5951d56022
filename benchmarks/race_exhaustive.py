"""The race against an exhaustive search of the same knobs: how good a setting, in what share of the time.

Four workloads of the built-in tasks: small and large batches, cheap and costly loaders. The exhaustive
search measures every legal combination on a process of its own, in shuffled order, with as many blocks as
the race gives a setting that it confirms. The race then gets a tenth of the time that this took (``--share``).
Both winners meet on fresh processes, in blocks that alternate: the figure is the throughput of the raced
setting over that of the best of all combinations, with the interval of 95 %.

    python benchmarks/race_exhaustive.py [--workloads NAME ...] [--blocks 20] [--share 0.1] [--quads 12]

With two cores a workload has 72 or 96 combinations and takes 7 to 9 minutes.
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autotune.coordinator.opening.stage import set_stage
from autotune.coordinator.races.ground import RaceGround
from autotune.events import Scalar
from autotune.spec.load import SpecFile, parse_spec
from autotune.speed import Comparison, Entry, RacePlan, RaceResult, compare, measure, race
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import is_possible, meaningful
from autotune.speed.measuring.arena import Arena, ContestantLostError
from autotune.speed.racing.plan import RaceWatch
from autotune.speed.racing.result import Heat, format_changes
from autotune.trial.launcher import Launcher
from benchmarks.figures import figure, header, load

_BLOCK_SECONDS = 0.2
_MIN_STEPS = 5
_AUGMENTED = f"{Path(__file__).with_name('augmented.py')}:AugmentedMnist"
_PROCESS: Mapping[str, list[Scalar]] = {"torch_threads": [1, "auto"], "allocator": ["default", "retain"]}
_CHEAP_LOADER: Mapping[str, list[Scalar]] = {
    **_PROCESS,
    "num_workers": [0, 1, "auto"],
    "persistent_workers": [False, True],
    "cache": ["off", "memory"],
}
_COSTLY_LOADER: Mapping[str, list[Scalar]] = {
    **_PROCESS,
    "num_workers": [0, 1, "auto"],
    "persistent_workers": [False, True],
    "prefetch_factor": [2, 8],
}


@dataclass(frozen=True)
class Workload:
    """A task with its learning parameters, and the knobs that both searches may turn; ``auto`` is all cores."""

    task: str
    learning: Mapping[str, Scalar]
    knobs: Mapping[str, list[Scalar]]

    @property
    def spec(self) -> SpecFile:
        """A study that searches nothing but these knobs; its baseline sets none of them but the workers."""
        content = {
            "task": self.task,
            "objective": {"metric": "train_loss", "direction": "minimize"},
            "budget": {"trials": 1, "epochs": 10},
            "speed_search": "joint",
            "learning": {"optimizer": "adam", "lr": 1e-3, **self.learning},
            "speed": {name: {"choices": choices} for name, choices in self.knobs.items()},
            "baseline": {"num_workers": 0},
        }
        return parse_spec(json.dumps(content), origin="race_exhaustive")


WORKLOADS: Mapping[str, Workload] = {
    "mnist1d-32": Workload(
        "autotune.tasks.mnist1d:Mnist1d",
        {"batch_size": 32},
        {**_CHEAP_LOADER, "optimizer_impl": ["for_loop", "foreach", "fused"]},
    ),
    "mnist-256": Workload(
        "autotune.tasks.mnist:Mnist",
        {"batch_size": 256},
        {**_CHEAP_LOADER, "channels_last": [False, True], "optimizer_impl": ["for_loop", "fused"]},
    ),
    "augmented-16": Workload(
        _AUGMENTED, {"batch_size": 16}, {**_COSTLY_LOADER, "optimizer_impl": ["for_loop", "fused"]}
    ),
    "augmented-128": Workload(_AUGMENTED, {"batch_size": 128}, {**_COSTLY_LOADER, "channels_last": [False, True]}),
}


@dataclass(frozen=True)
class Ground:
    """Where contestants of one workload are started, and what both searches know of it."""

    ground: RaceGround
    arena: Arena
    learning: Mapping[str, Scalar]

    def plan(self, *, seconds: float) -> RacePlan:
        """A race of so many seconds."""
        return self.ground.plan(self.learning, seconds=seconds)


@contextmanager
def open_ground(workload: Workload) -> Iterator[Ground]:
    """Start what contestants of this workload need; all of it is gone at the end."""
    file = workload.spec
    with Launcher.start(file.spec.task) as launcher, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stage = set_stage(file, launcher=launcher, jobs=1, folder=folder)
        ground = RaceGround(file.spec, name=file.name, stage=stage, launcher=launcher, folder=folder, knobs=KNOBS)
        learning = {**stage.space.fixed, **stage.space.learning.baseline}
        lease = stage.pool.acquire()
        assert lease is not None, "nobody else has one"
        with ground.arena(learning, lease=lease, on_wait=lambda: None) as arena:
            yield Ground(ground, arena, learning)


@dataclass(frozen=True)
class Exhaustive:
    """What the search of all combinations found."""

    best: Mapping[str, Scalar]
    num_combinations: int
    num_lost: int
    """Combinations that can't be trained with."""
    seconds: float


@dataclass(frozen=True)
class Trophy:
    """Both searches of one workload, and how their winners compare."""

    exhaustive: Exhaustive
    raced: RaceResult
    comparison: Comparison
    """Raced over best; of one and the same setting it shows the noise alone."""
    is_same: bool
    """Both winners train with the same values in force."""

    @property
    def share(self) -> float:
        """The race's time over that of the exhaustive search."""
        return self.raced.seconds / self.exhaustive.seconds


def combinations(entries: Sequence[Entry]) -> list[dict[str, Scalar]]:
    """Every setting of the knobs in which each means something and none hinders another, once."""
    names = [entry.name for entry in entries]
    found = []
    for values in itertools.product(*(entry.values for entry in entries)):
        setting = meaningful(dict(zip(names, values, strict=True)), entries=entries)
        if is_possible(setting, entries=entries) and setting not in found:
            found.append(setting)
    return found


def search_exhaustively(arena: Arena, settings: Sequence[Mapping[str, Scalar]], *, blocks: int) -> Exhaustive:
    """Measure each setting on a contestant of its own, in an order that no drift of the machine favours."""
    began = time.monotonic()
    best: tuple[float, Mapping[str, Scalar]] = (0.0, {})
    num_lost = 0
    for number, setting in enumerate(random.Random(0).sample(list(settings), len(settings)), 1):  # noqa: S311 - no secret
        try:
            contestant = arena.enter(setting)
            try:
                found = measure(contestant, blocks=blocks, seconds=_BLOCK_SECONDS, min_steps=_MIN_STEPS)
            finally:
                contestant.retire()
        except ContestantLostError as error:
            num_lost += 1
            print(f"{number:3d}/{len(settings)} lost, {error}: {format_changes(setting)}", file=sys.stderr)
            continue
        speed = found.samples_per_second
        best = max(best, (speed, setting), key=lambda each: each[0])
        print(f"{number:3d}/{len(settings)} {speed:8,.0f} samples/s: {format_changes(setting)}", file=sys.stderr)
    return Exhaustive(best[1], len(settings), num_lost, time.monotonic() - began)


def run(workload: Workload, *, blocks: int, share: float, quads: int) -> Trophy:
    """Both searches, and the comparison of their winners."""
    with open_ground(workload) as ground:
        arena, entries = ground.arena, ground.plan(seconds=0).entries
        exhaustive = search_exhaustively(arena, combinations(entries), blocks=blocks)
        raced = _race(arena, ground.plan(seconds=share * exhaustive.seconds))
        best, winner = arena.enter(exhaustive.best), arena.enter(raced.setting)
        names = [entry.name for entry in entries]
        is_same = all(best.warmed.in_force.get(name) == winner.warmed.in_force.get(name) for name in names)
        comparison = compare(best, winner, quads=quads, seconds=_BLOCK_SECONDS, min_steps=_MIN_STEPS)
    return Trophy(exhaustive, raced, comparison, is_same)


def _race(arena: Arena, plan: RacePlan) -> RaceResult:
    print(f"race of up to {plan.seconds:.0f} s", file=sys.stderr)
    return race(arena, plan, watch=RaceWatch(heat_over=_tell))


def _tell(heat: Heat) -> None:
    gain = f", {heat.gain.words} in {heat.gain.num_quads} quads" if heat.gain is not None else ""
    print(
        f"  {heat.stage}, {heat.change_words}: {heat.verdict}, {heat.reason}{gain} ({heat.seconds:.1f} s)",
        file=sys.stderr,
    )


def main() -> None:
    """Print a table with a row for each workload, and the settings that won."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--blocks", type=int, default=20, help="for each combination")
    parser.add_argument("--share", type=float, default=0.1, help="of the exhaustive search's time, for the race")
    parser.add_argument("--quads", type=int, default=12, help="of the comparison of both winners")
    arguments = parser.parse_args()
    print(header())
    print(f"{arguments.blocks} blocks of {_BLOCK_SECONDS} s a combination, {arguments.quads} quads, 1 run a row")
    print()
    print("| workload | combinations | race over baseline | raced / best [95 %] | race | exhaustive | share | load |")
    print("|---|---|---|---|---|---|---|---|")
    trophies: dict[str, Trophy] = {}
    for name in arguments.workloads:
        workload = WORKLOADS[name]
        trophies[name] = run(workload, blocks=arguments.blocks, share=arguments.share, quads=arguments.quads)
        print(_row(name, trophies[name]), flush=True)
    print()
    for name, trophy in trophies.items():
        lost = (
            f", {trophy.exhaustive.num_lost} combinations can't be trained with" if trophy.exhaustive.num_lost else ""
        )
        print(f"{name}{lost}")
        print(f"  raced  {format_changes(trophy.raced.setting)}{' (cut short)' if trophy.raced.is_cut_short else ''}")
        print(f"  best   {'the same' if trophy.is_same else format_changes(trophy.exhaustive.best)}")


def _row(name: str, trophy: Trophy) -> str:
    raced, exhaustive, comparison = trophy.raced, trophy.exhaustive, trophy.comparison
    cells = (
        name,
        str(exhaustive.num_combinations),
        figure(raced.gain.ratio, (raced.gain.low, raced.gain.high)) if raced.gain else "no gain",
        figure(comparison.ratio, comparison.interval) + (" (the same setting)" if trophy.is_same else ""),
        f"{raced.seconds:.0f} s",
        f"{exhaustive.seconds:.0f} s",
        f"{trophy.share:.1%}",
        load(),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
