"""What a step of a training waits for while MLflow refuses, hangs, answers 500 or takes ten seconds for each answer.

    python benchmarks/mlflow_faults.py [--trials 2]

A study for each way to fail, on a task whose step takes 10 ms. Prints the time from one step to the next, epochs' ends
left out: median, 99th percentile, the longest, and how many took 50 ms more than the median. A process that trains has
no connection to MLflow (``tests/faults/test_mlflow_fails.py`` counts them), so all rows should be the first one's but
for what else the machine does.
"""

import argparse
import itertools
import os
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path

from autotune.recording.mlflow.server import MlflowServer
from benchmarks.figures import header
from tests.e2e.home import TASK, make_home
from tests.faults.mlflow_proxy import FaultProxy, Mode, fault_proxy

LATE_SECONDS = 0.05
NUM_EPOCHS = 30
TIMED = """        time.sleep(0.01)
        with open("steps.txt", "a") as steps:
            steps.write(f"{time.perf_counter()} {model.training}\\n")
"""


def time_steps(proxy: FaultProxy, *, mode: Mode | None, num_trials: int) -> list[float]:
    """Seconds from each training step to the next one of its epoch, with MLflow in that mode; None refuses."""
    with tempfile.TemporaryDirectory() as folder:
        home = make_home(Path(folder))
        (home.folder / "tiny.py").write_text(TASK.replace("        time.sleep(0.01)\n", TIMED))
        if mode is not None:
            proxy.listen()
            proxy.mode = mode
        length = ("--trials", str(num_trials), "--set", f"budget.epochs={NUM_EPOCHS}")
        words = ("study", "start", "tiny.yaml", *length, "--tracking-uri", proxy.uri)
        subprocess.run(home.command(*words), cwd=home.folder, capture_output=True, check=True, env=dict(os.environ))
        lines = [line.split() for line in (home.folder / "steps.txt").read_text().splitlines()]
    steps = [(float(at), is_training == "True") for at, is_training in lines]
    return [now - before for (before, was), (now, is_now) in itertools.pairwise(steps) if was and is_now]


def main() -> None:
    """Print a row for each way to fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2)
    num_trials = parser.parse_args().trials
    print(header("mlflow"))
    print("| MLflow | steps | median | p99 | longest | 50 ms late |\n|---|---|---|---|---|---|")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder, MlflowServer(f"sqlite:///{folder}/mlflow.db", port=port) as server:
        server.wait_until_ready()
        modes: list[tuple[str, Mode | None]] = [("answers", "pass"), ("refuses", None), ("hangs", "hang")]
        modes += [("answers 500", "fail"), ("takes 10 s", "slow")]
        for name, mode in modes:
            with fault_proxy(port) as proxy:
                seconds = time_steps(proxy, mode=mode, num_trials=num_trials)
            median = statistics.median(seconds)
            p99 = statistics.quantiles(seconds, n=100)[-1]
            num_late = sum(each > median + LATE_SECONDS for each in seconds)
            figures = f"{median * 1e3:.1f} ms | {p99 * 1e3:.1f} ms | {max(seconds) * 1e3:.1f} ms | {num_late}"
            print(f"| {name} | {len(seconds)} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
