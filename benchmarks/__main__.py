"""All benchmarks of a machine without a GPU, one after the other, each in a process of its own: ``make bench``.

They take nearly three hours on two cores. Their bars are in ``docs/benchmarks.md``: a figure that misses one
ends nothing here. ``benchmarks/gpu.py`` and ``benchmarks/gpu_launches.py`` want a CUDA device (``make gpu``).
"""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = (
    ("loop_tax.py", "--threads", "1"),
    ("loop_tax.py", "--threads", "1", "--overhead"),
    ("checkpoint_cost.py",),
    ("aa_spread.py",),
    ("waiting_loader.py",),
    ("screening.py", "--workloads", "mnist1d-32"),
    ("race_simulated.py",),
    ("race_exhaustive.py",),
    ("race_joint.py", "--seconds", "120"),
    ("trial_start.py",),
    ("between_trials.py",),
    ("load.py", "--marks", "200", "1000", "10000", "--seconds", "30"),
    ("help_time.py",),
    ("mlflow_faults.py",),
    ("verdict_intervals.py",),
)


def main() -> int:
    """Run every benchmark to its end; 1 where one failed, which is named."""
    folder = Path(__file__).parent
    failed: list[str] = []
    for script, *arguments in BENCHMARKS:
        command = " ".join([script, *arguments])
        print(f"\n$ python benchmarks/{command}", flush=True)
        done = subprocess.run([sys.executable, str(folder / script), *arguments], check=False)
        if done.returncode:
            failed.append(f"{command}: exit status {done.returncode}")
    for line in failed:
        print(f"FAILED: {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
