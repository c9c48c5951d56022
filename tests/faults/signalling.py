"""SIGINT and SIGTERM at any moment of a study, and a witness of what MLflow says of its runs meanwhile."""

import random
import signal
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from autotune.recording.mlflow.run_contents import trial_status
from tests.e2e.home import Home, histories_of, make_home, rows_of, runs_of, wait_until

NUM_TRIALS, NUM_EPOCHS = 4, 3
"""As the home's spec has it."""
MOMENTS = ("study tiny", "trains", "epoch 1/3", "epoch 3/3", "complete, ")
"""Texts of a running study; the signal comes a little after the n-th of them, which may be while it ends."""
MOST_SECONDS = 0.4
GRACE_SECONDS = 15
INTERRUPTED = 130


@dataclass
class Witness:
    """Looks at MLflow's store and at our rows, all the while, for a run that is FINISHED and should not be."""

    folder: Path
    num_looks: int = 0
    wrong: list[str] = field(default_factory=list)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def look(self) -> None:
        """A run first: a trial that has ended is never open again, so its row, read later, must have ended, too."""
        finished = self._read(
            "mlruns/mlflow.db",
            "SELECT value FROM tags JOIN runs USING (run_uuid) WHERE key = 'autotune.run' AND status = 'FINISHED'",
        )
        ended = {
            str(number)
            for number in self._read("autotune.db", "SELECT number FROM autotune_trial WHERE status = 'ended'")
        }
        is_complete = self._read("autotune.db", "SELECT 1 FROM autotune_study WHERE state = 'complete'")
        allowed = ended | {"study"} if is_complete else ended
        self.wrong += [f"run {run} is FINISHED, and only {sorted(allowed)} may be" for run in {*finished} - allowed]
        self.num_looks += 1

    def _watch(self) -> None:
        while not self._is_over.wait(0.05):
            self.look()

    def _read(self, name: str, query: str) -> list[object]:
        if not (self.folder / name).exists():
            return []
        with closing(sqlite3.connect(self.folder / name, timeout=10)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            if not {"runs", "autotune_study"} & tables:  # not all of it is made yet
                return []
            return [row[0] for row in connection.execute(query)]


def run_and_signal(home: Home, draw: random.Random) -> int:
    """A start that gets a signal at some moment; its exit status."""
    before = home.output if (home.folder / "output.txt").exists() else ""
    number, text = draw.choice([signal.SIGINT, signal.SIGTERM]), draw.choice(MOMENTS)
    process = home.start("study", "start", "tiny.yaml", "--grace", str(GRACE_SECONDS))
    wait_until(
        lambda: text in home.output[len(before) :] or process.poll() is not None,
        timeout=50,
        what=f"{text!r} of a study",
    )
    time.sleep(draw.uniform(0.0, MOST_SECONDS))
    process.send_signal(number)
    return process.wait(timeout=60)


@dataclass(frozen=True)
class Signalled:
    """A study that got signals, and then went on to its end."""

    statuses: list[int]
    """Exit statuses of the starts that got one."""
    violations: list[str]


def signal_study(folder: Path, *, num_signals: int, seed: int, store: Path | None = None) -> Signalled:
    """Start a study and signal it, so many times, and then let it end.

    Args:
        folder: An empty one.
        num_signals: One a start.
        seed: Of signals and moments.
        store: An MLflow store to begin with; see ``make_home``.
    """
    home, draw = make_home(folder, store=store), random.Random(seed)
    with Witness(folder) as witness:
        statuses = [run_and_signal(home, draw) for _ in range(num_signals)]
        home.run("study", "start", "tiny.yaml")
    witness.look()
    violations = list(witness.wrong)
    if not set(statuses) <= {INTERRUPTED, 0}:
        violations.append(f"the exit statuses are {statuses}")
    if "Traceback" in home.output:
        violations.append("a traceback was shown")
    lengths = [len(history) for history in histories_of(folder, "tiny")]
    if lengths != [NUM_EPOCHS] * NUM_TRIALS:
        violations.append(f"the trials have {lengths} epochs")
    rows, runs = rows_of(folder, "tiny"), runs_of(folder, "tiny")
    told, known = {n: run.info.status for n, run in runs.items()}, {row.number: trial_status(row) for row in rows}
    if told != known:
        violations.append(f"MLflow says {told} in the end, and the rows {known}")
    return Signalled(statuses, violations)
