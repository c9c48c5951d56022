"""What a study does between two trials: from the last report of one to the first batch of the next.

Whole studies of the mnist task, ``autotune study start`` as a user types it, with trials of one epoch, so that there
are many; speed parameters are fixed, and the loader has 0, 1 and 2 workers. Moments are those that the study records:
a trial's last report, the next trial's row, the start of its training, and when it asks for its first batch. Workers
start after that, and belong to the trial's own time.

    python benchmarks/between_trials.py [--seconds 30] [--workers 0 1 2]
"""

import argparse
import itertools
import statistics
import sys
from dataclasses import dataclass

from autotune.report.summaries.reading import open_records
from benchmarks.figures import header, load
from benchmarks.studies import NAME, study_of

_FEWEST_GAPS = 2
"""A percentile needs two values."""


@dataclass(frozen=True)
class Gap:
    """The seconds between two trials."""

    ending: float
    """From the last report to the next trial's row: it ends, that is recorded, the next one is asked for."""
    launching: float
    """Until its process says that it begins."""
    preparing: float
    """Until it asks for its first batch: data, model and optimizer are made."""

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.ending + self.launching + self.preparing


def measure(num_workers: int, *, seconds: float) -> tuple[list[Gap], float]:
    """The gaps of one study, and the seconds from its first trial's row to its last report."""
    settings = {"budget.epochs": 1, "pruner": "none", "speed_search": "fixed", "baseline.num_workers": num_workers}
    with study_of("mnist", seconds=seconds, seed=0, settings=settings) as storage:
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
    """Print a row for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="budget of each study")
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2])
    arguments = parser.parse_args()
    print(header("optuna"))
    print(f"studies of {arguments.seconds:g} s; medians in milliseconds")
    print()
    print("| workers | trials | to the next row | to its start | to its first batch | together, p95 | of all | load |")
    print("|---|---|---|---|---|---|---|---|")
    for num_workers in arguments.workers:
        gaps, whole = measure(num_workers, seconds=arguments.seconds)
        if len(gaps) < _FEWEST_GAPS:
            sys.exit(f"--seconds: needs {_FEWEST_GAPS + 1} trials, got {len(gaps) + 1}; give the study longer")
        print(_row(num_workers, gaps, whole=whole), flush=True)


def _row(num_workers: int, gaps: list[Gap], *, whole: float) -> str:
    middles = [
        statistics.median(part)
        for part in zip(*((gap.ending, gap.launching, gap.preparing) for gap in gaps), strict=True)
    ]
    seconds = [gap.seconds for gap in gaps]
    worst = statistics.quantiles(seconds, n=20)[-1]
    cells = (
        f"{num_workers}",
        f"{len(gaps) + 1}",
        *(f"{1000 * middle:.0f}" for middle in middles),
        f"{1000 * statistics.median(seconds):.0f}, {1000 * worst:.0f}",
        f"{sum(seconds) / whole:.1%}",
        load(),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
