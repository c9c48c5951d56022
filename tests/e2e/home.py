import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from autotune.recording.database import open_database
from autotune.recording.mlflow.store import RUN_TAG
from autotune.recording.records import Records
from autotune.recording.rows import StudyState, TrialRow
from tests.e2e import prepared
from tests.stores import copy_store

PATIENCE_SECONDS = 150.0
"""A command that takes longer hangs; on busy cores it takes tens of seconds to import what it needs."""

TASK = '''
import time

import torch
from torch.utils.data import TensorDataset

from autotune.training import Task


class Tiny(Task):
    """Two clouds of points; each batch takes a little while, so that there is time to interrupt."""

    def _points(self, seed, count):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(0, 2, (count,), generator=generator)
        points = torch.randn(count, 4, generator=generator) + labels[:, None] * 1.5
        return TensorDataset(points, labels)

    def train_data(self, params):
        return self._points(1, 256)

    def validation_data(self, params):
        return self._points(2, 128)

    def model(self, params):
        return torch.nn.Sequential(torch.nn.Linear(4, params.width), torch.nn.ReLU(), torch.nn.Linear(params.width, 2))

    def forward(self, model, batch):
        time.sleep(0.01)
        return super().forward(model, batch)
'''

SPEC = """
task: tiny.py:Tiny
objective: {metric: val_accuracy, direction: maximize}
budget: {trials: 4, epochs: 3}
sampler: {tpe: {startup_trials: 2}}
pruner: none
learning:
  optimizer: {choices: [sgd, adam]}
  lr: {low: 1e-3, high: 1e-1, log: true}
  batch_size: {choices: [32, 64]}
  width: {low: 2, high: 8}
speed:
  torch_threads: 1
baseline: {optimizer: adam, lr: 1e-2, batch_size: 64, width: 4}
log_model: false
confirm: {repeats: 0}
"""


HELD = """
started, hold = Path({folder!r}) / "started", Path({folder!r}) / "hold"
batches = 0


def pause():
    global batches
    time.sleep(0.01)
    batches += 1
    if batches == 6:  # a rehearsal has fewer
        with started.open("a") as file:
            file.write(".")
    while batches > 14 and len(started.read_text()) > held():
        time.sleep(0.01)


def held():
    try:
        return int(hold.read_text())
    except FileNotFoundError:  # it has been let go
        return 10**9
"""
"""In its second epoch, or its third where batches are large, the trial whose number is in ``hold`` waits."""


SIGNALLING = """
import os, signal, sys

module, _, name = {function!r}.rpartition(".")

def send(frame, event, argument):
    if event == "call" and frame.f_code.co_name == name and frame.f_globals["__name__"] == module:
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)

sys.setprofile(send)
"""
"""A ``sitecustomize``: its process gets Ctrl-C as the function of this module and name is called."""


@dataclass(frozen=True)
class Home:
    """A folder in which a person types commands."""

    folder: Path

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "autotune", *words]

    def run(
        self, *words: str, status: int = 0, timeout: float = PATIENCE_SECONDS
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, in a process that has nothing left to import."""
        done = prepared.run(words, folder=self.folder, timeout=timeout)
        assert done.returncode == status, f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def run_afresh(self, *words: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run a command as a shell does: its imports, too, are what is tested."""
        done = subprocess.run(
            self.command(*words), cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        assert done.returncode == status, f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def read(self, *words: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self.run(*words, "--json").stdout)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        with (self.folder / "output.txt").open("a") as output:
            return subprocess.Popen(
                self.command(*words), cwd=self.folder, stdout=output, stderr=output, text=True, start_new_session=True
            )

    def run_signalled(self, *words: str, function: str) -> "subprocess.CompletedProcess[str]":
        """Run a command that gets Ctrl-C as a function is called, and ends with the status for that."""
        signalling = self.folder / "signalling"
        signalling.mkdir(exist_ok=True)
        (signalling / "sitecustomize.py").write_text(SIGNALLING.format(function=function))
        paths = os.pathsep.join(filter(None, [str(signalling), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 130, f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def hold_trial(self, number: int) -> Path:
        """Have a trial wait between its first report and its end; the file that lets it go on when it is removed."""
        task = (self.folder / "tiny.py").read_text()
        top, marker, bottom = task.partition("class Tiny")
        pausing = HELD.format(folder=str(self.folder))
        bottom = bottom.replace("time.sleep(0.01)", "pause()")
        (self.folder / "tiny.py").write_text(f"from pathlib import Path\n{top}{pausing}\n\n{marker}{bottom}")
        hold = self.folder / "hold"
        hold.write_text(str(number))
        return hold

    def wait_for(self, text: str, *, timeout: float = PATIENCE_SECONDS) -> None:
        wait_until(lambda: text in self.output, timeout=timeout, what=f"{text!r} in:\n")


def make_home(folder: Path, *, store: Path | None = None) -> Home:
    """The folder of somebody who has a small task and its spec.

    Args:
        folder: An empty one.
        store: An MLflow store without experiments to begin with: a study takes a second to make its own.
    """
    (folder / "tiny.py").write_text(TASK)
    (folder / "tiny.yaml").write_text(SPEC)
    if store is not None:
        copy_store(store, folder=folder)
    return Home(folder)


def wait_until(condition: Callable[[], bool], *, timeout: float, what: str) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.05)


def family_of(pid: int) -> list[psutil.Process]:
    """The process with all that descend from it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def runs_of(folder: Path, name: str) -> dict[int, Run]:
    """The study's runs in MLflow by trial number."""
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return {}
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    return {int(run.data.tags[RUN_TAG]): run for run in runs if run.data.tags[RUN_TAG].isdigit()}


def rows_of(folder: Path, name: str) -> tuple[TrialRow, ...]:
    """The study's trials as they are recorded."""
    records = Records(open_database(f"sqlite:///{folder}/autotune.db", create=False))
    rows = records.trials(records.study(name))
    records.engine.dispose()
    return rows


def state_of(folder: Path, name: str) -> StudyState:
    """The study's state as it is recorded."""
    records = Records(open_database(f"sqlite:///{folder}/autotune.db", create=False))
    state = records.study(name).state
    records.engine.dispose()
    return state


def histories_of(folder: Path, name: str) -> list[list[dict[str, float]]]:
    """All epochs of all trials of the study: metrics that depend on parameters and seeds alone."""
    records = Records(open_database(f"sqlite:///{folder}/autotune.db", create=False))
    study = records.study(name)
    histories = [
        [dict(recorded.report.metrics) for recorded in records.reports(trial)] for trial in records.trials(study)
    ]
    records.engine.dispose()
    return histories
