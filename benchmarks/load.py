"""What a large study costs its coordinator, and how long reports wait when many trials report at once.

A real coordinator on a real database; the trials are simulated, so there is no process, no training
and no MLflow. First ``--marks``: a study of so many trials of ten reports each, of which the last
``--window`` (half at most) are run now and those before are copies of its first hundred; the coordinator's CPU
time for a trial, what it holds in memory, the database's size, and the time from the start of the
command's work on its database to the first trial of a resume. Each in a process of its own. Then
``--jobs`` trials at once that report ``--rate`` times a second each, for ``--seconds``.

    python benchmarks/load.py [--marks 100 1000 10000] [--window 100] [--sampler tpe] [--jobs 64] [--rate 10]
"""

import argparse
import contextlib
import cProfile
import json
import pstats
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from autotune.hardware import Machine, ask_machine
from autotune.spec.load import SpecFile, load_spec
from benchmarks.figures import header, load
from benchmarks.simulated import SimulatedTrials, simulated_session

_FIRST = 100
_EPOCHS = 10
_MEGABYTE = 2**20


def main() -> None:
    """Prints a table of the marks, then the waits of reports."""
    arguments = _arguments()
    if arguments.mark is not None:
        print(json.dumps(_measure(arguments)))
        return
    print(header("optuna", "sqlalchemy"))
    if arguments.marks:
        print(f"sampler {arguments.sampler}, hyperband, {_EPOCHS} epochs, SQLite, 1 run, {arguments.window} trials")
        print(" trials  CPU ms/trial  wall ms/trial  resume s  memory MiB  database MiB  load")
    for mark in arguments.marks:
        print(_row(mark, _measure_elsewhere(mark)), flush=True)
    if arguments.seconds > 0:
        print(_crowd(arguments))


def _measure_elsewhere(mark: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--mark", str(mark)], check=True, stdout=subprocess.PIPE, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _row(mark: int, found: dict[str, float]) -> str:
    return (
        f"{mark:7d} {found['cpu']:13.1f} {found['wall']:14.1f} {found['resume']:9.2f} {found['memory']:11.0f} "
        f"{found['database']:13.1f} {load():>5}"
    )


def _measure(arguments: argparse.Namespace) -> dict[str, float]:
    machine, mark = ask_machine(), arguments.mark
    window = min(arguments.window, mark // 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "load.db"
        before = mark - window
        _run(path, machine=machine, trials=min(before, _FIRST), arguments=arguments)
        if before > _FIRST:
            _copy_trials(path, to=before)
        started = time.perf_counter()
        profile = cProfile.Profile()
        trials, file = SimulatedTrials(), _spec(arguments, trials=mark)
        with simulated_session(file, storage=f"sqlite:///{path}", machine=machine, trials=trials) as session:
            with profile if arguments.profile else contextlib.nullcontext():
                session.run()
            assert trials.first_launch is not None
            wall, cpu = time.perf_counter() - trials.first_launch[0], time.process_time() - trials.first_launch[1]
        num_bytes = sum(each.stat().st_size for each in path.parent.glob("load.db*"))
        if arguments.profile:
            pstats.Stats(profile, stream=sys.stderr).sort_stats("cumulative").print_stats(60)
        return {
            "cpu": 1000 * cpu / window,
            "wall": 1000 * wall / window,
            "resume": trials.first_launch[0] - started,
            "memory": psutil.Process().memory_info().rss / _MEGABYTE,
            "database": num_bytes / _MEGABYTE,
        }


def _run(path: Path, *, machine: Machine, trials: int, arguments: argparse.Namespace) -> None:
    file = _spec(arguments, trials=trials)
    simulated = SimulatedTrials()
    with simulated_session(file, storage=f"sqlite:///{path}", machine=machine, trials=simulated) as session:
        session.run()


def _spec(arguments: argparse.Namespace, *, trials: int) -> SpecFile:
    return load_spec(
        "mnist",
        overrides=[
            f"sampler={arguments.sampler}",
            f"budget.trials={trials}",
            "budget.seconds=1e6",
            f"budget.epochs={_EPOCHS}",
            "speed_search=fixed",
        ],
    )


def _copy_trials(path: Path, *, to: int) -> None:
    """Give the study ``to`` trials: those that it has, again and again, with everything that hangs on them."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in names}
        count = connection.execute("SELECT count(*) FROM trials").fetchone()[0]
        for offset in range(count, to, count):
            left = min(count, to - offset)
            for name in names:
                if "trial_id" in columns[name] or name == "autotune_trial":
                    _copy_rows(connection, name, columns=columns[name], offset=offset, limit=left)


def _copy_rows(connection: sqlite3.Connection, name: str, *, columns: list[str], offset: int, limit: int) -> None:
    own = name in {"trials", "autotune_trial"}
    key = "id" if name == "autotune_trial" else "trial_id"
    shifted = {key, "number", "optuna_id"} if own else {"trial_id"}
    kept = [column for column in columns if own or name == "autotune_report" or column != columns[0]]
    values = ", ".join(f"{column} + {offset}" if column in shifted else column for column in kept)
    connection.execute(
        f"INSERT INTO {name} ({', '.join(kept)}) SELECT {values} FROM {name} WHERE {key} <= {limit}"  # noqa: S608
    )


def _crowd(arguments: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        num_reports = int(arguments.rate * arguments.seconds)
        trials = SimulatedTrials(
            reports_per_second=arguments.rate, num_epochs=num_reports, start_together=arguments.jobs
        )
        file = load_spec(
            "mnist",
            overrides=[
                "sampler=random",
                f"pruner={arguments.pruner}",
                f"budget.trials={arguments.jobs}",
                "budget.seconds=1e6",
                f"budget.epochs={num_reports}",
                "speed_search=fixed",
            ],
        )
        storage = f"sqlite:///{folder}/crowd.db"
        with simulated_session(
            file, storage=storage, machine=ask_machine(), trials=trials, jobs=arguments.jobs
        ) as session:
            started = time.process_time(), time.perf_counter()
            session.run()
            cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    waits = sorted(1000 * wait for wait in trials.waits)
    p50, p99 = statistics.median(waits), waits[int(0.99 * len(waits))]
    return (
        f"{arguments.jobs} trials at once, {arguments.rate:g} reports a second each, pruner {arguments.pruner}: "
        f"{len(waits)} reports waited {p50:.0f} ms (median), {p99:.0f} ms (p99), {waits[-1]:.0f} ms at most; "
        f"{100 * cpu / wall:.0f} % of a core in {wall:.0f} s; 1 run, load {load()}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--marks", type=int, nargs="*", default=[100, 1000, 10000])
    parser.add_argument("--mark", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--jobs", type=int, default=64)
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--pruner", default="median", help="of the trials that run at once")
    parser.add_argument("--profile", action="store_true", help="also print where the time of each mark goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
