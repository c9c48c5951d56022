"""``autotune --help`` against ``python -c "import click"``: medians of alternating runs and their ratio.

Run it with ``python benchmarks/help_time.py [RUNS]`` of the environment that has the command.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import header

DEFAULT_RUNS = 40

_IMPORT_CLICK = (sys.executable, "-c", "import click")
_HELP = (sys.executable, str(Path(sys.executable).with_name("autotune")), "--help")


def measure_alternating(commands: Sequence[Sequence[str]], *, runs: int) -> list[float]:
    """Median seconds of each command; they take turns, so that a busy moment of the machine meets all."""
    seconds: list[list[float]] = [[] for _ in commands]
    for command in commands:  # writes the bytecode and fills the page cache
        _run(command)
    for _ in range(runs):
        for command, taken in zip(commands, seconds, strict=True):
            taken.append(_run(command))
    return [statistics.median(taken) for taken in seconds]


def main() -> None:
    """Prints both medians and their ratio, with the versions that they were measured with."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_RUNS
    print(header("click"))
    click_seconds, help_seconds = measure_alternating([_IMPORT_CLICK, _HELP], runs=runs)
    print(f"autotune --help                {help_seconds * 1000:6.1f} ms")
    print(f'python -c "import click"       {click_seconds * 1000:6.1f} ms')
    print(f"ratio                          {help_seconds / click_seconds:6.2f}")
    print(f"median of {runs} alternating runs")


def _run(command: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
