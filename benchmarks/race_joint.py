"""Whole studies of built-in tasks, ``speed_search: race`` against ``joint``, with the same wall clock.

Each study is ``autotune study start`` as a user types it, with its budget in seconds alone, in a folder of
its own with a fresh database and MLflow store, so that every race is run anew. Per seed a study of each kind
runs, and which goes first alternates. What a study could answer at a moment is its best complete trial by
then. The figure is the time until the answer that ``joint`` ends with: joint's own over race's, so that
above 1 ``race`` is faster; the median over seeds with the interval of 95 %. A seed in which ``race`` never
gets there counts as 0; the interval then begins at 0, and its other end takes the end of that study instead.

    python benchmarks/race_joint.py [--tasks mnist mnist1d] [--seconds 60] [--seeds 0 1 2 3 4]

Takes two studies per task and seed, of --seconds and about 15 seconds of start each: 25 minutes.
"""

import argparse
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autotune.events import Outcome
from autotune.recording.rows import StudyRow
from autotune.report.summaries.reading import open_records
from autotune.speed.measuring.statistics import median_interval
from benchmarks.figures import figure, header, load
from benchmarks.studies import NAME, study_of

Search: TypeAlias = Literal["race", "joint"]

_METRIC = "val_accuracy"


@dataclass(frozen=True)
class Point:
    """What a study had found by a moment."""

    seconds: float
    """Since the study was made, its races included; the import of torch is not."""
    accuracy: float
    """The best so far."""


@dataclass(frozen=True)
class Run:
    """One study that came to its end."""

    answers: tuple[Point, ...]
    """By complete trials, each better than the one before."""
    reports: tuple[Point, ...]
    """By all epochs of all trials, likewise; an epoch may belong to a trial that was pruned later."""
    outcomes: Counter[str]
    epochs: int
    samples: int
    race_seconds: float
    seconds: float
    """All that it took."""

    @property
    def accuracy(self) -> float:
        """Of the best complete trial; 0 where there is none."""
        return self.answers[-1].accuracy if self.answers else 0.0


def best_so_far(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points in the order of time, without those that are no better than an earlier one."""
    found: list[Point] = []
    for point in sorted(points, key=lambda each: each.seconds):
        if math.isfinite(point.accuracy) and (not found or point.accuracy > found[-1].accuracy):
            found.append(point)
    return tuple(found)


def seconds_until(accuracy: float, points: Sequence[Point]) -> float:
    """When the accuracy was first seen; infinite where it never was."""
    return next((point.seconds for point in points if point.accuracy >= accuracy), math.inf)


def run_study(space: str, search: Search, *, seconds: float, seed: int) -> Run:
    """Run one study to the end of its budget, and read what it recorded."""
    with study_of(space, seconds=seconds, seed=seed, settings={"speed_search": search}) as storage:
        return _read(storage)


def _read(storage: str) -> Run:
    records = open_records(storage)
    try:
        study = records.study(NAME)
        trials = records.trials(study)
        reports = [row.report for row in records.all_reports(study)]
        answers = [
            Point(trial.ended_at - study.created_at, trial.values[0])
            for trial in trials
            if trial.outcome is Outcome.COMPLETE and trial.values and trial.ended_at is not None
        ]
        return Run(
            answers=best_so_far(answers),
            reports=best_so_far([Point(r.at - study.created_at, r.metrics[_METRIC]) for r in reports]),
            outcomes=Counter(trial.outcome.value if trial.outcome else trial.status.value for trial in trials),
            epochs=len(reports),
            samples=sum(report.samples for report in reports),
            race_seconds=study.speed_seconds,
            seconds=_whole_seconds(study),
        )
    finally:
        records.engine.dispose()


def _whole_seconds(study: StudyRow) -> float:
    return study.elapsed_seconds if study.ended_at is None else study.ended_at - study.created_at


@dataclass(frozen=True)
class Times:
    """Seconds until the accuracy that ``joint`` ends with."""

    joint: float
    race: float
    """Infinite where it never got there."""
    race_end: float
    """When the study that races was over."""

    @property
    def ratio(self) -> float:
        """Joint's over race's: above 1, ``race`` is faster; 0 where it never got there."""
        return self.joint / self.race

    @property
    def greatest_ratio(self) -> float:
        """What the ratio is at most: one that never got there in its budget may have right after."""
        return self.joint / min(self.race, self.race_end)


@dataclass(frozen=True)
class Pair:
    """The two studies of one seed."""

    race: Run
    joint: Run

    @property
    def times(self) -> Times | None:
        """By complete trials; None where ``joint`` has none."""
        return self._times(self.race.answers, self.joint.answers)

    @property
    def times_of_reports(self) -> Times | None:
        """By the epochs of all trials; None where ``joint`` has none."""
        return self._times(self.race.reports, self.joint.reports)

    def _times(self, race: Sequence[Point], joint: Sequence[Point]) -> Times | None:
        if not joint:
            return None
        return Times(joint[-1].seconds, seconds_until(joint[-1].accuracy, race), self.race.seconds)


def main() -> None:
    """Print for each task a row for each seed, what each kind of study did, and the ratio of the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=["mnist", "mnist1d"], help="search spaces that come along")
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of each study")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    arguments = parser.parse_args()
    if len(arguments.seeds) < 2:  # noqa: PLR2004 - an interval needs two values
        parser.error(f"--seeds: needs two or more for an interval, got {arguments.seeds[0]} alone")
    print(header("optuna", "mlflow"))
    print(f"{len(arguments.seeds)} seeds, {arguments.seconds:g} s a study")
    for task in arguments.tasks:
        print(f"\n{task}\n")
        print("| seed | joint ends with | joint got there | race got there | ratio | race ends with | load |")
        print("|---|---|---|---|---|---|---|")
        pairs = []
        for seed in arguments.seeds:
            pairs.append(_run_pair(task, seconds=arguments.seconds, seed=seed))
            print(_row(seed, pairs[-1]), flush=True)
        _print_totals(pairs)


def _run_pair(task: str, *, seconds: float, seed: int) -> Pair:
    order: tuple[Search, ...] = ("joint", "race") if seed % 2 else ("race", "joint")
    runs = {search: run_study(task, search, seconds=seconds, seed=seed) for search in order}
    return Pair(race=runs["race"], joint=runs["joint"])


def _row(seed: int, pair: Pair) -> str:
    times = pair.times
    cells = (
        str(seed),
        f"{pair.joint.accuracy:.4f}",
        *(_seconds(each) for each in ((times.joint, times.race) if times else (math.inf, math.inf))),
        f"{times.ratio:.2f}" if times else "nothing to reach",
        f"{pair.race.accuracy:.4f}",
        load(),
    )
    return f"| {' | '.join(cells)} |"


def _print_totals(pairs: Sequence[Pair]) -> None:
    print("\n| medians | accuracy at the end | complete | pruned | other | epochs | samples | racing |")
    print("|---|---|---|---|---|---|---|---|")
    print(_totals("race", [pair.race for pair in pairs]))
    print(_totals("joint", [pair.joint for pair in pairs]))
    print()
    _print_figure("the best complete trial", [pair.times for pair in pairs])
    _print_figure("the best epoch of any trial", [pair.times_of_reports for pair in pairs])


def _print_figure(what: str, found: Sequence[Times | None]) -> None:
    every = [times for times in found if times is not None]
    missed = sum(math.isinf(times.race) for times in every)
    about = f"time until {what} is as good as joint's last, joint / race"
    if not every:
        print(f"{about}: joint has none")
        return
    low, high = median_interval([math.log(times.greatest_ratio) for times in every], confidence=0.95)
    interval = 0.0 if missed else math.exp(low), math.exp(high)
    shown = figure(statistics.median(times.ratio for times in every), interval)
    print(f"{about}: {shown}, {len(every)} seeds, of which race missed it in {missed}")


def _totals(name: Search, runs: Sequence[Run]) -> str:
    def median(values: Sequence[float]) -> str:
        return f"{statistics.median(values):,.0f}"

    known = (Outcome.COMPLETE.value, Outcome.PRUNED.value)
    cells = (
        name,
        f"{statistics.median(run.accuracy for run in runs):.4f}",
        *(median([run.outcomes[outcome] for run in runs]) for outcome in known),
        median([sum(run.outcomes.values()) - sum(run.outcomes[outcome] for outcome in known) for run in runs]),
        median([run.epochs for run in runs]),
        median([run.samples for run in runs]),
        f"{median([run.race_seconds for run in runs])} s",
    )
    return f"| {' | '.join(cells)} |"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if math.isfinite(seconds) else "never"


if __name__ == "__main__":
    main()
