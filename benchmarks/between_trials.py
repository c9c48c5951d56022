"""What a study does between two trials: from the last report of one to the first batch of the next.

Whole studies of the mnist task, ``autotune study start`` as a user types it, with trials of one epoch or few, so that
there are many; speed parameters are fixed, and torch has one thread. They run in pairs, whose order alternates: as it
is, where the next trial is set up beside the last one if that leaves cores free, and with every trial set up in its
turn. Moments are those that the study records: a trial's last report, the next trial's row, the launch of its training,
and when it asks for its first batch; waiting for that batch is the trial's own time, also if it was waited for ahead.
The last line compares the throughput of trials beside which the next one was set up with that of the same trials alone.

    python benchmarks/between_trials.py [--seconds 30] [--pairs 4] [--epochs 1] [--workers 0] [--allocator retain]

It needs a core that the trial leaves free, and one for each worker of the next trial.
"""

import argparse
import itertools
import math
import statistics
import sys
from dataclasses import dataclass, field

from autotune.hardware import find_allocator, usable_cores
from autotune.report.summaries.reading import open_records
from autotune.speed.measuring.statistics import median_interval
from benchmarks.figures import figure, header, load
from benchmarks.studies import NAME, study_of

_FEWEST_GAPS = 2
"""A percentile needs two values."""
_IN_TURN = """
from autotune.cli.main import main
from autotune.coordinator.standby import Standby

Standby.prepare = lambda self, running: None
main()
"""
"""The program with each trial set up in its turn."""


@dataclass(frozen=True)
class Setting:
    """The trials of a study."""

    num_workers: int
    allocator: str
    epochs: int

    @property
    def words(self) -> str:
        """Such as ``1 epoch, 0 workers, allocator retain``."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return f"{epochs}, {self.num_workers} workers, allocator {self.allocator}"

    @property
    def settings(self) -> dict[str, object]:
        """What differs from mnist's spec."""
        return {
            "budget.epochs": self.epochs,
            "pruner": "none",
            "speed_search": "fixed",
            "baseline.torch_threads": 1,
            "baseline.num_workers": self.num_workers,
            "speed.allocator": self.allocator,
        }


@dataclass(frozen=True)
class Gap:
    """The seconds between two trials."""

    ending: float
    """From the last report to the next trial's row: it ends, that is recorded, the next one is asked for."""
    launching: float
    """Until its process is launched, or told that its turn has come."""
    preparing: float
    """Until it asks for its first batch: it forks, and data, model and optimizer are made."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.ending + self.launching + self.preparing


@dataclass(frozen=True)
class Measured:
    """One study, or several.

    Attributes:
        gaps: Those between its trials.
        whole: Seconds from its first trial's row to its last report.
        num_trials: Number of its trials that have reported.
        throughputs: Samples per second of each epoch, by the trial's parameters and the epoch; of one study alone.
    """

    gaps: list[Gap]
    whole: float
    num_trials: int
    throughputs: dict[tuple[str, int], float] = field(default_factory=dict)

    def __add__(self, other: "Measured") -> "Measured":
        return Measured(self.gaps + other.gaps, self.whole + other.whole, self.num_trials + other.num_trials)


def measure(setting: Setting, *, seconds: float, is_ahead: bool) -> Measured:
    """Run one study."""
    program = ("-m", "autotune") if is_ahead else ("-c", _IN_TURN)
    with study_of("mnist", seconds=seconds, seed=0, settings=setting.settings, program=program) as storage:
        return _read(storage)


def _read(storage: str) -> Measured:
    records = open_records(storage)
    try:
        trials = [(trial, records.reports(trial)) for trial in records.trials(records.study(NAME))]
    finally:
        records.engine.dispose()
    trained = [(trial, [row.report for row in rows]) for trial, rows in trials if rows]
    gaps = []
    for (_, before), (trial, after) in itertools.pairwise(trained):
        assert trial.started_at is not None, "it has reports"
        first = after[0].at - (after[0].trained_seconds or 0.0)
        gaps.append(
            Gap(trial.created_at - before[-1].at, trial.started_at - trial.created_at, first - trial.started_at)
        )
    throughputs = {
        (str(sorted(trial.parameters.items())), report.epoch): report.samples_per_second
        for trial, reports in trained
        for report in reports
    }
    whole = trained[-1][1][-1].at - trained[0][0].created_at
    return Measured(gaps, whole, len(trained), throughputs)


def main() -> None:
    """Print two rows, and what setting the next trial up costs the one beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="budget of each study")
    parser.add_argument("--pairs", type=int, default=4, help="of studies")
    parser.add_argument("--epochs", type=int, default=1, help="of each trial")
    parser.add_argument("--workers", type=int, default=0, help="of each trial's loader")
    parser.add_argument("--allocator", choices=["default", "retain", "jemalloc", "tcmalloc"], default="retain")
    arguments = parser.parse_args()
    setting = Setting(arguments.workers, arguments.allocator, arguments.epochs)
    _check(setting)
    print(header("optuna"))
    count = f"{arguments.pairs} pairs of studies of {arguments.seconds:g} s"
    print(f"{count}, trials of {setting.words}; medians in milliseconds")
    print()
    print(
        "| next trial is set up | trials | to the next row | launched | first batch | together, p95 | of all | load |"
    )
    print("|---|---|---|---|---|---|---|---|")
    beside, in_turn, ratios = _run(setting, seconds=arguments.seconds, pairs=arguments.pairs)
    for words, measured in (("beside the last", beside), ("in its turn", in_turn)):
        print(_row(words, measured))
    interval = median_interval([math.log(ratio) for ratio in ratios], confidence=0.95)
    told = figure(statistics.median(ratios), (math.exp(interval[0]), math.exp(interval[1])))
    print(
        f"\nthroughput of a trial beside which the next one was set up, by its own alone: {told}, {len(ratios)} epochs"
    )


def _check(setting: Setting) -> None:
    """End the benchmark where such trials leave no core free, or their allocator is not installed."""
    num_free = len(usable_cores()) - 1 - setting.num_workers
    if num_free < max(1, setting.num_workers):
        sys.exit(f"--workers: must leave a core for each worker of the next trial, got {num_free} that are left")
    if setting.allocator not in {"default", "retain"} and find_allocator(setting.allocator) is None:
        sys.exit(f"--allocator: {setting.allocator} must be installed, got none")


def _run(setting: Setting, *, seconds: float, pairs: int) -> tuple[Measured, Measured, list[float]]:
    """All studies with the next trial beside the last, all others, and the ratios of the same epochs' throughputs."""
    total = {True: Measured([], 0.0, 0), False: Measured([], 0.0, 0)}
    ratios: list[float] = []
    for number in range(pairs):
        pair = {}
        for is_ahead in (True, False) if number % 2 == 0 else (False, True):
            pair[is_ahead] = measure(setting, seconds=seconds, is_ahead=is_ahead)
            total[is_ahead] += pair[is_ahead]
        one, other = pair[True].throughputs, pair[False].throughputs
        ratios += [one[epoch] / other[epoch] for epoch in one.keys() & other.keys()]
    if min(len(each.gaps) for each in total.values()) < _FEWEST_GAPS:
        sys.exit(f"--seconds: needs {_FEWEST_GAPS + 1} trials; give the studies longer")
    return total[True], total[False], ratios


def _row(words: str, measured: Measured) -> str:
    gaps = measured.gaps
    middles = [
        statistics.median(part)
        for part in zip(*((gap.ending, gap.launching, gap.preparing) for gap in gaps), strict=True)
    ]
    seconds = [gap.seconds for gap in gaps]
    worst = statistics.quantiles(seconds, n=20)[-1]
    cells = (
        words,
        f"{measured.num_trials}",
        *(f"{1000 * middle:.0f}" for middle in middles),
        f"{1000 * statistics.median(seconds):.0f}, {1000 * worst:.0f}",
        f"{sum(seconds) / measured.whole:.1%}",
        load(),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
