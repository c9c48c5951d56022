"""The race against an exhaustive search of the same knobs: how good a setting, in what share of the time.

Four workloads of the built-in tasks: small and large batches, cheap and costly loaders. The exhaustive search
measures every legal combination as a race measures a winner that it confirms: on a process of its own, in blocks that
alternate with the baseline's, of the same length and as many (12 quads of 0.1 s). One after the other would take
half the time, and find a setting that was lucky (``aa_spread.py``). The four best then meet the first of them once
more, on fresh processes. A race gets a tenth of the time that all this took (``--share``), and there are three, as one
may be lucky or not.

The winners of both searches meet in pairs of fresh processes, as two processes of one setting may differ for as long as
they live: the figure is the throughput of the raced setting over that of the best of all combinations, the geometric
mean over the pairs with Student's interval of 95 %.

    python benchmarks/race_exhaustive.py [--workloads NAME ...] [--share 0.1] [--races 3] [--pairs 5]

With two cores a workload has 72 or 96 combinations and takes 12 to 16 minutes.
"""

import argparse
import itertools
import json
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import t as student

from autotune.coordinator.opening.stage import set_stage
from autotune.coordinator.races.ground import RaceGround
from autotune.events import Scalar
from autotune.spec.load import SpecFile, parse_spec
from autotune.speed import Comparison, Entry, RacePlan, RaceResult, compare, race
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import is_possible, meaningful
from autotune.speed.measuring.arena import Arena, Contestant, ContestantLostError
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.plan import RaceWatch
from autotune.speed.racing.result import Heat
from autotune.speed.racing.words import change_words, format_changes, gain_words
from autotune.trial.launcher import Launcher
from benchmarks.figures import figure, header, load

_PACE = Pace()
_FINALISTS = 4
_PAIR_QUADS = 6
_FEWEST_PAIRS = 2
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
    """A race's winner beside that of the exhaustive search."""

    raced: RaceResult
    share: float
    """The race's time over that of the exhaustive search."""
    pairs: tuple[Comparison, ...]
    """Raced over best, each on two fresh processes; of one and the same setting they show the noise alone."""
    is_same: bool
    """Both winners train with the same values in force."""
    load: str
    """The host's load average when they had met."""

    @property
    def ratio(self) -> float:
        """Raced over best, the geometric mean over the pairs."""
        return statistics.geometric_mean([pair.ratio for pair in self.pairs])

    @property
    def figure(self) -> str:
        """The ratio with the interval over the pairs."""
        logs = [math.log(pair.ratio) for pair in self.pairs]
        mean, count = math.log(self.ratio), len(logs)
        half = float(student.ppf(0.975, count - 1)) * statistics.stdev(logs) / math.sqrt(count)
        return figure(math.exp(mean), (math.exp(mean - half), math.exp(mean + half)))


def combinations(entries: Sequence[Entry]) -> list[dict[str, Scalar]]:
    """Every setting of the knobs in which each means something and none hinders another, once."""
    names = [entry.name for entry in entries]
    found = []
    for values in itertools.product(*(entry.values for entry in entries)):
        setting = meaningful(dict(zip(names, values, strict=True)), entries=entries)
        if is_possible(setting, entries=entries) and setting not in found:
            found.append(setting)
    return found


def search_exhaustively(
    arena: Arena, settings: Sequence[Mapping[str, Scalar]], *, baseline: Mapping[str, Scalar]
) -> Exhaustive:
    """Measure each setting against the baseline, in an order that no drift of the machine favours."""
    began = time.monotonic()
    holder = arena.enter(baseline)
    ratios: list[tuple[float, Mapping[str, Scalar]]] = []
    num_lost = 0
    for number, setting in enumerate(random.Random(0).sample(list(settings), len(settings)), 1):  # noqa: S311 - no secret
        try:
            ratio = _meet(arena, holder, setting, quads=_PACE.confirm_quads).ratio
        except ContestantLostError as error:
            num_lost += 1
            print(f"{number:3d}/{len(settings)} lost, {error}: {format_changes(setting)}", file=sys.stderr)
            continue
        ratios.append((ratio, setting))
        print(f"{number:3d}/{len(settings)} {ratio:6.3f}: {format_changes(setting)}", file=sys.stderr)
    holder.retire()
    finalists = [setting for _, setting in sorted(ratios, key=lambda each: -each[0])[:_FINALISTS]]
    best = _final(arena, finalists)
    return Exhaustive(best, len(settings), num_lost, time.monotonic() - began)


def _final(arena: Arena, finalists: Sequence[Mapping[str, Scalar]]) -> Mapping[str, Scalar]:
    """The best of them, each of which was the best of many by luck, too."""
    first, *others = finalists
    best: tuple[float, Mapping[str, Scalar]] = (1.0, first)
    for setting in others:
        holder = arena.enter(first)
        ratio = _meet(arena, holder, setting, quads=_PACE.confirm_quads).ratio
        holder.retire()
        print(f"final  {ratio:6.3f}: {format_changes(setting)}", file=sys.stderr)
        best = max(best, (ratio, setting), key=lambda each: each[0])
    return best[1]


def _meet(
    arena: Arena,
    holder: Contestant,
    setting: Mapping[str, Scalar],
    *,
    quads: int,
    told: list[Mapping[str, Scalar]] | None = None,
) -> Comparison:
    """A setting over one that is there, on a fresh process, which may tell what is in force there."""
    contestant = arena.enter(setting)
    if told is not None:
        told.append(contestant.warmed.in_force)
    try:
        return compare(holder, contestant, quads=quads, seconds=_PACE.block_seconds, min_steps=_PACE.min_steps)
    finally:
        contestant.retire()


def run(workload: Workload, *, share: float, num_races: int, num_pairs: int) -> tuple[Exhaustive, list[Trophy]]:
    """The exhaustive search, then the races, each with the comparison of its winner."""
    with open_ground(workload) as ground:
        arena, plan = ground.arena, ground.plan(seconds=0)
        exhaustive = search_exhaustively(arena, combinations(plan.entries), baseline=plan.baseline)
        trophies = []
        for _ in range(num_races):
            raced = _race(arena, ground.plan(seconds=share * exhaustive.seconds))
            trophies.append(_compare_winners(arena, plan, raced, exhaustive=exhaustive, num_pairs=num_pairs))
            print(f"  raced / best {trophies[-1].figure}", file=sys.stderr)
    return exhaustive, trophies


def _compare_winners(
    arena: Arena, plan: RacePlan, raced: RaceResult, *, exhaustive: Exhaustive, num_pairs: int
) -> Trophy:
    """Let the winners of both searches meet in pairs of fresh processes."""
    pairs: list[Comparison] = []
    in_force: list[Mapping[str, Scalar]] = []
    for _ in range(num_pairs):
        best = arena.enter(exhaustive.best)
        pairs.append(_meet(arena, best, raced.setting, quads=_PAIR_QUADS, told=in_force))
        in_force.append(best.warmed.in_force)
        best.retire()
    names = [entry.name for entry in plan.entries]
    is_same = len({tuple(told.get(name) for name in names) for told in in_force}) == 1
    return Trophy(raced, raced.seconds / exhaustive.seconds, tuple(pairs), is_same, load())


def _race(arena: Arena, plan: RacePlan) -> RaceResult:
    print(f"race of up to {plan.seconds:.0f} s", file=sys.stderr)
    return race(arena, plan, watch=RaceWatch(heat_over=_tell))


def _tell(heat: Heat) -> None:
    gain = f", {gain_words(heat.gain)} in {heat.gain.num_quads} quads" if heat.gain is not None else ""
    print(
        f"  {heat.stage}, {change_words(heat)}: {heat.verdict}, {heat.reason}{gain} ({heat.seconds:.1f} s)",
        file=sys.stderr,
    )


def main() -> None:
    """Print a table with a row for each workload, and the settings that won."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--share", type=float, default=0.1, help="of the exhaustive search's time, for the race")
    parser.add_argument("--races", type=int, default=3, help="of each workload")
    parser.add_argument("--pairs", type=int, default=5, help="of fresh processes, in which both winners meet")
    arguments = parser.parse_args()
    if arguments.races < 1:
        parser.error(f"--races: needs at least 1, got {arguments.races}")
    if arguments.pairs < _FEWEST_PAIRS:
        parser.error(f"--pairs: needs at least {_FEWEST_PAIRS} for an interval over them, got {arguments.pairs}")
    print(header())
    quads = f"{_PACE.confirm_quads} quads of blocks of {_PACE.block_seconds} s a combination"
    print(f"{quads}, both winners in {arguments.pairs} pairs of processes, a row for each race")
    print()
    print("| workload | combinations | race over baseline | raced / best [95 %] | race | exhaustive | share | load |")
    print("|---|---|---|---|---|---|---|---|")
    settings: list[str] = []
    for name in arguments.workloads:
        exhaustive, trophies = run(
            WORKLOADS[name], share=arguments.share, num_races=arguments.races, num_pairs=arguments.pairs
        )
        for trophy in trophies:
            print(_row(name, trophy, exhaustive=exhaustive))
        median = statistics.median(trophy.ratio for trophy in trophies)
        print(f"| {name}, median | | | {median:.3f} | | | | |", flush=True)
        settings += _settings(name, trophies, exhaustive=exhaustive)
    print()
    print("\n".join(settings))


def _settings(name: str, trophies: Sequence[Trophy], *, exhaustive: Exhaustive) -> Iterator[str]:
    """Lines with the settings that won."""
    yield name + (f", {exhaustive.num_lost} combinations can't be trained with" if exhaustive.num_lost else "")
    yield f"  best   {format_changes(exhaustive.best)}"
    for trophy in trophies:
        cut = " (cut short)" if trophy.raced.is_cut_short else ""
        yield f"  raced  {'the same' if trophy.is_same else format_changes(trophy.raced.setting)}{cut}"


def _row(name: str, trophy: Trophy, *, exhaustive: Exhaustive) -> str:
    raced = trophy.raced
    cells = (
        name,
        str(exhaustive.num_combinations),
        figure(raced.gain.ratio, (raced.gain.low, raced.gain.high)) if raced.gain else "no gain",
        trophy.figure + (" (the same setting)" if trophy.is_same else ""),
        f"{raced.seconds:.0f} s",
        f"{exhaustive.seconds:.0f} s",
        f"{trophy.share:.1%}",
        trophy.load,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
