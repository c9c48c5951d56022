"""What holds for trials from a fork server alone."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from autotune.errors import TaskError
from autotune.events import EpochReport, Outcome, Started
from autotune.trial.launcher import Launcher, Method
from tests.trial.listening import finish_of, hear_out, is_gone, order

pytestmark = pytest.mark.slow  # each imports torch

PARALLEL_TASK = """
import torch
from autotune.training import Task

def work():
    return (torch.rand(1000, 1000) @ torch.rand(1000, 1000)).sum() + torch.rand(4_000_000).exp().sum()

class Parallel(Task):
    def setup(self):
        work()

    def train_data(self, params):
        torch.set_num_threads(2)
        work()
        return torch.utils.data.TensorDataset(torch.rand(64, 8), torch.zeros(64, dtype=torch.long))

    validation_data = train_data

    def model(self, params):
        return torch.nn.Linear(8, 2)
"""


def test_launcher_that_runs_trials_imports_no_torch(tmp_path: Path) -> None:
    """The coordinator would start slowly, and hold memory that every trial holds again."""
    code = (
        "import sys; from pathlib import Path; from autotune.trial.launcher import Launcher\n"
        "from tests.trial.listening import BEHAVIOURS, hear_out, order\n"
        "with Launcher.start(BEHAVIOURS) as launcher:\n"
        "    hear_out(launcher, launcher.launch(order(Path(sys.argv[1]), behaviour='report_thrice')))\n"
        "print([name for name in ('torch', 'optuna', 'mlflow') if name in sys.modules])\n"
    )
    checkout = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=checkout)
    assert shown.stdout == "[]\n"


def test_parallel_work_in_setup_leaves_trials_able_to_work_in_parallel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of threads that was started before the fork hangs the first parallel operation after it."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    path = tmp_path / "parallel.py"
    path.write_text(PARALLEL_TASK)
    with Launcher.start(f"{path}:Parallel", method="fork_server") as launcher:
        events = hear_out(launcher, launcher.launch(order(tmp_path, task=f"{path}:Parallel")))
    assert finish_of(events).outcome is Outcome.COMPLETE, finish_of(events)


def test_trial_has_as_many_threads_as_its_lease_has_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    path = tmp_path / "parallel.py"
    path.write_text(PARALLEL_TASK.replace("torch.set_num_threads(2)", "pass"))
    (core, *_) = sorted(psutil.Process().cpu_affinity() or [0])
    with Launcher.start(f"{path}:Parallel", method="fork_server") as launcher:
        leased = order(tmp_path, task=f"{path}:Parallel").model_copy(update={"cores": (core,)})
        alone, shared = [
            next(event for event in hear_out(launcher, launcher.launch(each)) if isinstance(event, Started))
            for each in (order(tmp_path, task=f"{path}:Parallel"), leased)
        ]
        assert alone.in_force["torch_threads"] == launcher.facts.num_threads
        assert shared.in_force["torch_threads"] == 1


def test_module_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mytask.py").write_text("def train(trial):\n    trial.report(1, val_accuracy=0.5)\n")
    # Names that our own processes import must not be taken from the user's folder.
    (tmp_path / "autotune.py").write_text("raise RuntimeError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    with Launcher.start("mytask:train", method="fork_server") as launcher:
        events = hear_out(launcher, launcher.launch(order(tmp_path, task="mytask:train")))
    assert any(isinstance(event, EpochReport) for event in events)


def test_setup_that_leaves_a_process_behind_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "parallel.py"
    path.write_text("import os, time\nif os.fork() == 0:\n    time.sleep(600)\n" + PARALLEL_TASK)
    others = set(psutil.Process().children(recursive=True))
    with Launcher.start(f"{path}:Parallel", method="fork_server") as launcher:
        events = hear_out(launcher, launcher.launch(order(tmp_path, task=f"{path}:Parallel")))
        started = set(psutil.Process().children(recursive=True)) - others
        left = [each for each in started if "autotune.trial.fork_server" in each.cmdline()]
        assert len(left) == 2
    assert finish_of(events).outcome is Outcome.COMPLETE, finish_of(events)
    assert all(is_gone(each.pid) for each in left)


LATE_IMPORTS_TASK = """
import sys
import torch
from autotune.training import Task

class Late(Task):
    def train_data(self, params):
        self.known = set(sys.modules)
        return torch.utils.data.TensorDataset(torch.rand(64, 8), torch.zeros(64, dtype=torch.long))

    def validation_data(self, params):
        return torch.utils.data.TensorDataset(torch.rand(64, 8), torch.zeros(64, dtype=torch.long))

    def model(self, params):
        return torch.nn.Linear(8, 2)

    def loss(self, outputs, targets):
        late = set(sys.modules) - self.known
        assert len(late) < 10, sorted(late)  # a single small one costs nothing
        return super().loss(outputs, targets)
"""


def test_trial_takes_its_first_step_without_importing_half_of_torch(tmp_path: Path) -> None:
    """Torch imports 800 modules at the first optimizer: over a second, in every trial."""
    path = tmp_path / "late.py"
    path.write_text(LATE_IMPORTS_TASK)
    with Launcher.start(f"{path}:Late", method="fork_server") as launcher:
        adam = order(tmp_path, task=f"{path}:Late", optimizer="adam", schedule="cosine", lr=1e-3)
        events = hear_out(launcher, launcher.launch(adam))
    assert finish_of(events).outcome is Outcome.COMPLETE, finish_of(events)


def test_setup_that_raises_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "parallel.py"
    path.write_text(
        PARALLEL_TASK.replace("    def setup(self):\n        work()", "    def setup(self):\n        1 / 0")
    )
    with pytest.raises(TaskError, match="ZeroDivisionError"):
        Launcher.start(f"{path}:Parallel", method="fork_server")


def test_output_of_an_import_does_not_reach_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "loud.py"
    path.write_text("print('loud')\ndef train(trial):\n    pass\n")
    Launcher.start(f"{path}:train", method="fork_server").close()
    assert capfd.readouterr() == ("", "")


COLLECTED_TASK = """
import gc

import torch
from autotune.training import Task

class Collected(Task):
    def train_data(self, params):
        assert gc.get_threshold() == {thresholds}, gc.get_threshold()
        return torch.utils.data.TensorDataset(torch.rand(64, 8), torch.zeros(64, dtype=torch.long))

    validation_data = train_data

    def model(self, params):
        return torch.nn.Linear(8, 2)
"""


@pytest.mark.parametrize("method", ["fork_server", "spawn"])
def test_garbage_of_a_trial_is_looked_for_as_in_any_program(tmp_path: Path, method: Method) -> None:
    """What a training leaves may hold the device's memory; only what its process imports is looked through seldom."""
    thresholds = subprocess.run(
        [sys.executable, "-c", "import gc; print(gc.get_threshold())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    path = tmp_path / "collected.py"
    path.write_text(COLLECTED_TASK.format(thresholds=thresholds))
    with Launcher.start(f"{path}:Collected", method=method) as launcher:
        events = hear_out(launcher, launcher.launch(order(tmp_path, task=f"{path}:Collected")))
    assert finish_of(events).outcome is Outcome.COMPLETE, finish_of(events)
