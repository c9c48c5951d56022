"""One study whose every trial does something else that no task should: each is contained, and the next is well."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.home import Home
from tests.trial.listening import is_gone, wait_until

pytestmark = pytest.mark.slow

TASK = """
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import Dataset

from autotune.training import Task


class Points(Dataset):
    def __init__(self, fault="none"):
        self.fault = fault

    def __len__(self):
        return 64

    def __getitem__(self, index):
        if index == 40:
            if self.fault == "hang_in_a_worker":
                wait_in_a_worker()
            if self.fault == "raise_in_a_worker":
                raise OSError("the picture is torn")
            if self.fault == "kill_a_worker":
                os.kill(os.getpid(), signal.SIGKILL)
        return torch.full((4,), float(index % 2)), index % 2


def wait_in_a_worker():
    time.sleep(600)


def wait_in_a_step():
    time.sleep(600)


def wait_in_validation():
    time.sleep(600)


class Model(torch.nn.Linear):
    def __init__(self, fault):
        if fault == "raise_in_init":
            raise ValueError("no such layer")
        super().__init__(4, 2)


class Faulty(Task):
    def train_data(self, params):
        return Points(params.fault)

    def validation_data(self, params):
        return Points()

    def model(self, params):
        self.fault = params.fault
        return Model(self.fault)

    def forward(self, model, batch):
        if model.training:
            act(self.fault)
        elif self.fault == "hang_in_validation":
            wait_in_validation()
        return super().forward(model, batch)

    def loss(self, outputs, targets):
        value = {"nan_in_the_loss": float("nan"), "infinite_loss": float("inf")}.get(self.fault, 1.0)
        return super().loss(outputs, targets) * value

    def metrics(self, outputs, targets):
        if self.fault == "raise_in_a_metric":
            raise ZeroDivisionError("no sample of this class")
        found = super().metrics(outputs, targets)
        return {"accuracy": found["accuracy"] * float("nan")} if self.fault == "nan_in_a_metric" else found


def act(fault):
    if fault == "hang_in_a_step":
        wait_in_a_step()
    if fault == "hang_and_ignore_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait_in_a_step()
    if fault == "leave_by_os_exit":
        os._exit(7)
    if fault == "segfault":
        ctypes.string_at(0)
    if fault == "leave_a_child" and not Path("child").exists():
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        Path("child").write_text(str(child))
    if fault == "take_all_memory":
        held = [torch.ones(2**27) for _ in range(32)]  # half a gigabyte each
    if fault == "print_100_megabytes" and not Path("printed").exists():
        Path("printed").touch()
        for _ in range(100 * 1024):
            sys.stdout.write("x" * 1023 + "\\n")
"""

SPEC = """
task: faulty.py:Faulty
objective: {{metric: val_accuracy, direction: maximize}}
budget: {{trials: {count}, epochs: 1}}
sampler: grid
pruner: none
speed_search: fixed
deadlines: {{silence_seconds: {silence}}}
learning:
  fault: {{choices: [{faults}]}}
  batch_size: 16
speed:
  torch_threads: 1
  num_workers: 1
baseline: {{fault: none}}
log_model: false
confirm: {{repeats: 0}}
"""

OUTCOMES = {
    "hang_in_a_step": ("timed out", "no sign of life for 12 s; its log tells where each thread was"),
    "hang_and_ignore_sigterm": ("timed out", "no sign of life for 12 s"),
    "hang_in_a_worker": ("timed out", "no sign of life for 12 s"),
    "hang_in_validation": ("timed out", "no sign of life for 12 s"),
    "raise_in_a_worker": ("failed", "OSError: the picture is torn"),
    "kill_a_worker": ("infeasible", "a DataLoader worker was killed (signal 9), 4 times"),
    "raise_in_init": ("failed", "ValueError: no such layer"),
    "raise_in_a_metric": ("failed", "ZeroDivisionError: no sample of this class"),
    "nan_in_the_loss": ("diverged", "the training loss is"),
    "infinite_loss": ("diverged", "the training loss is"),
    "nan_in_a_metric": ("diverged", "val_accuracy"),
    "leave_by_os_exit": (
        "failed",
        "its process ended with status 7 and without a word; `autotune study logs` shows what",
    ),
    "segfault": ("failed", "its process was killed by SIGSEGV; `autotune study logs` shows where each"),
    "leave_a_child": ("complete", ""),
    "print_100_megabytes": ("complete", ""),
    "none": ("complete", ""),
}
MAX_LOG_BYTES = 5 * 2**20


@pytest.fixture(scope="module")
def misbehaved(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("misbehaved"))
    (home.folder / "faulty.py").write_text(TASK)
    faults = ", ".join(OUTCOMES)
    (home.folder / "faulty.yaml").write_text(SPEC.format(count=len(OUTCOMES), faults=faults, silence=12))
    home.run("study", "start", "faulty.yaml", "--jobs", "4", timeout=200)
    return home


@pytest.fixture(scope="module")
def trials(misbehaved: Home) -> dict[str, dict[str, Any]]:
    return {trial["parameters"]["fault"]: trial for trial in misbehaved.read("study", "trials", "faulty")}


def log_of(home: Home, trial: dict[str, Any]) -> str:
    (path,) = home.folder.glob(f"autotune.files/*/trial-{trial['number']:05}/trial.log")
    return path.read_text()


@pytest.mark.parametrize("fault", OUTCOMES)
def test_outcome_and_reason_are_recorded(trials: dict[str, dict[str, Any]], fault: str) -> None:
    outcome, reason = OUTCOMES[fault]
    assert trials[fault]["outcome"] == outcome, trials[fault]
    assert reason in (trials[fault]["reason"] or "")


@pytest.mark.parametrize(
    ("fault", "function"),
    [
        ("hang_in_a_step", "wait_in_a_step"),
        ("hang_and_ignore_sigterm", "wait_in_a_step"),
        ("hang_in_a_worker", "wait_in_a_worker"),
        ("hang_in_validation", "wait_in_validation"),
        ("segfault", "in act"),
    ],
)
def test_log_tells_where_a_trial_hung_or_crashed(
    misbehaved: Home, trials: dict[str, dict[str, Any]], fault: str, function: str
) -> None:
    assert function in log_of(misbehaved, trials[fault])


def test_replay_of_a_crash_shows_where_it_was(misbehaved: Home, trials: dict[str, dict[str, Any]]) -> None:
    """Nothing of it is kept: its log is gone when the command ends."""
    told = misbehaved.run("trial", "replay", "faulty", str(trials["segfault"]["number"]), status=1).stderr
    end, *lines = told[told.index("Error: ") :].splitlines()
    assert end.endswith("its process was killed by SIGSEGV; its last lines:")
    assert lines[0] == "Fatal Python error: Segmentation fault"
    assert "in act" in told


def test_what_diverged_is_never_best(misbehaved: Home, trials: dict[str, dict[str, Any]]) -> None:
    best = misbehaved.read("study", "best", "faulty")
    assert trials[best["parameters"]["fault"]]["outcome"] == "complete"


def test_flood_of_output_fills_no_disk(misbehaved: Home, trials: dict[str, dict[str, Any]]) -> None:
    assert 0 < len(log_of(misbehaved, trials["print_100_megabytes"])) < MAX_LOG_BYTES


def test_child_that_a_trial_leaves_behind_is_gone(misbehaved: Home) -> None:
    assert is_gone(int((misbehaved.folder / "child").read_text()))


def test_no_process_of_the_study_is_left(misbehaved: Home) -> None:
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(misbehaved.folder) and process.status() != psutil.STATUS_ZOMBIE:
                left.append(process)
    assert left == []


@pytest.fixture
def folder_on_disk() -> Iterator[Path]:
    """Not below /dev/shm, where the tests' own folders may lie."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def test_shared_memory_that_is_full_fails_the_trial_with_the_remedy(folder_on_disk: Path) -> None:
    """Else the loader's worker dies of a bus error that nobody understands, or the trial waits for ever."""
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("a small /dev/shm of its own needs a mount namespace, which this system refuses")
    large = TASK.replace("torch.full((4,), float(index % 2))", "torch.zeros(100_000)").replace(
        "__init__(4,", "__init__(100_000,"
    )
    (folder_on_disk / "faulty.py").write_text(large)
    (folder_on_disk / "faulty.yaml").write_text(SPEC.format(count=1, faults="none, raise_in_init", silence=60))
    program = f"mount -t tmpfs -o size=1m none /dev/shm && exec {sys.executable} -m autotune study start faulty.yaml"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", program],
        cwd=folder_on_disk,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (trial,) = Home(folder_on_disk).read("study", "trials", "faulty")
    assert trial["outcome"] == "failed", done.stderr
    assert "shared memory" in trial["reason"]


MEMORY_BYTES = 5 * 2**28


def make_group() -> Path | None:
    """A control group, of either version, with little memory; None where the system refuses one."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"autotune-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            if (group / limit).exists():
                (group / limit).write_text(str(MEMORY_BYTES))
                return group
            group.rmdir()
    return None


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """The file of processes of a control group."""
    group = make_group()
    if group is None:
        pytest.skip("memory that runs out needs a control group, which this system refuses")
    yield group / "cgroup.procs"
    assert wait_until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_trial_that_the_kernel_kills_for_memory_is_tried_once_more_and_then_infeasible(
    tmp_path: Path, small_memory: Path
) -> None:
    """Signal 9 alone looks like somebody's kill, and such a trial would be started again three times."""
    home = Home(tmp_path)
    (tmp_path / "faulty.py").write_text(TASK)
    (tmp_path / "faulty.yaml").write_text(SPEC.format(count=2, faults="none, take_all_memory", silence=60))
    words = " ".join(home.command("study", "start", "faulty.yaml"))
    done = subprocess.run(
        ["sh", "-c", f"echo $$ > {small_memory} && exec {words}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "trial 1: the kernel killed its process, since the host's memory ran out; it starts again" in done.stderr
    trials = home.read("study", "trials", "faulty")
    assert [trial["outcome"] for trial in trials] == ["complete", "infeasible"]
    assert "the host's memory ran out, 2 times; use fewer workers" in trials[1]["reason"]
