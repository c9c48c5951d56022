"""All benchmarks, one after the other, each in a process of its own: ``make bench``."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    ("loop_tax.py", "--threads", "1"),
    ("loop_tax.py", "--threads", "1", "--overhead"),
    ("checkpoint_cost.py",),
    ("aa_spread.py",),
    ("race_exhaustive.py", "--workloads", "mnist1d-32", "augmented-128"),
    ("race_joint.py", "--tasks", "mnist", "--seeds", "0", "1", "2"),
    ("race_simulated.py",),
    ("trial_start.py",),
    ("load.py", "--marks", "100", "1000", "10000", "--seconds", "30"),
    ("help_time.py",),
    ("mlflow_faults.py",),
    ("verdict_intervals.py",),
)


def main() -> int:
    """Run every benchmark to its end; the number of those that failed."""
    folder = Path(__file__).parent
    failed = 0
    for script, *arguments in BENCHMARKS:
        print(f"\n$ python benchmarks/{' '.join([script, *arguments])}", flush=True)
        done = subprocess.run([sys.executable, str(folder / script), *arguments], check=False)
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
