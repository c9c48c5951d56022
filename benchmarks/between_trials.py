"""What a study does between two trials: from the last report of one to the first batch of the next.

Whole studies of the mnist task, ``autotune study start`` as a user types it, with trials of one epoch, so that there
are many; speed parameters are fixed, and torch has one thread. Each study runs twice: as it is, where the next trial
is set up beside the last one if that leaves cores free, and with every trial set up in its turn. Moments are those that
the study records: a trial's last report, the next trial's row, the launch of its training, and when it asks for its
first batch; waiting for that batch is the trial's own time, also where it was waited for ahead.

    python benchmarks/between_trials.py [--seconds 30] [--workers 0 1 2] [--allocators retain jemalloc]

Rows of more workers than cores allow are left out, and allocators that are not installed.
"""

import argparse
import itertools
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from autotune.hardware import find_allocator, usable_cores
from autotune.report.summaries.reading import open_records
from benchmarks.figures import header, load
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

    @property
    def settings(self) -> dict[str, object]:
        """What differs from mnist's spec."""
        return {
            "budget.epochs": 1,
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


def measure(setting: Setting, *, seconds: float, is_ahead: bool) -> tuple[list[Gap], float]:
    """The gaps of one study, and the seconds from its first trial's row to its last report."""
    program = ("-m", "autotune") if is_ahead else ("-c", _IN_TURN)
    with study_of("mnist", seconds=seconds, seed=0, settings=setting.settings, program=program) as storage:
        return _read(storage)


def _read(storage: str) -> tuple[list[Gap], float]:
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
    return gaps, trained[-1][1][-1].at - trained[0][0].created_at


def main() -> None:
    """Print two rows for each kind of trial."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="budget of each study")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--allocators", nargs="+", default=["retain", "jemalloc"])
    arguments = parser.parse_args()
    print(header("optuna"))
    print(f"studies of {arguments.seconds:g} s; medians in milliseconds")
    print()
    print(
        "| trials have | set up | trials | to the next row | launched | first batch | together, p95 | of all | load |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for setting in _settings(arguments.workers, arguments.allocators):
        for is_ahead in (True, False):
            gaps, whole = measure(setting, seconds=arguments.seconds, is_ahead=is_ahead)
            if len(gaps) < _FEWEST_GAPS:
                sys.exit(f"--seconds: needs {_FEWEST_GAPS + 1} trials, got {len(gaps) + 1}; give the study longer")
            print(_row(setting, gaps, whole=whole, is_ahead=is_ahead), flush=True)


def _settings(workers: list[int], allocators: list[str]) -> Iterator[Setting]:
    """The kinds of trials that leave a core free for each worker of the next one, and can be had here."""
    for num_workers, allocator in itertools.product(workers, allocators):
        num_free = len(usable_cores()) - 1 - num_workers
        is_there = allocator in {"default", "retain"} or find_allocator(allocator) is not None
        if num_free >= max(1, num_workers) and is_there:
            yield Setting(num_workers, allocator)


def _row(setting: Setting, gaps: list[Gap], *, whole: float, is_ahead: bool) -> str:
    middles = [
        statistics.median(part)
        for part in zip(*((gap.ending, gap.launching, gap.preparing) for gap in gaps), strict=True)
    ]
    seconds = [gap.seconds for gap in gaps]
    worst = statistics.quantiles(seconds, n=20)[-1]
    cells = (
        f"{setting.num_workers} workers, allocator {setting.allocator}",
        "beside the last" if is_ahead else "in its turn",
        f"{len(gaps) + 1}",
        *(f"{1000 * middle:.0f}" for middle in middles),
        f"{1000 * statistics.median(seconds):.0f}, {1000 * worst:.0f}",
        f"{sum(seconds) / whole:.1%}",
        load(),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
