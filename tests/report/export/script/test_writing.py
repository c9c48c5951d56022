import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autotune.errors import RunError
from autotune.events import EpochReport, Finished, Outcome, Scalar, Started, TrialOrder
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy, NewTrial
from autotune.recording.records import Records
from autotune.report.export.script.writing import write_script
from autotune.report.summaries.record import StudyRecord, read_record
from autotune.spec.model import Budget
from autotune.training.checkpoints.checkpoint import Checkpoint
from autotune.training.process.loading import load_task
from autotune.training.process.run import run_trial
from autotune.training.trial import Trial
from tests.report.study_book import make_spec
from tests.training.trials import Recorder, train

pytestmark = pytest.mark.usefixtures("one_thread")

TESTS = Path(__file__).parents[3]
POINTS = f"{TESTS}/training/tasks.py:Points"
STEADY_POINTS = f"{TESTS}/training/tasks.py:SteadyPoints"
NOISY_POINTS = f"{TESTS}/training/tasks.py:NoisyPoints"
DIGITS = "autotune.tasks.digits:Digits"
MNIST = "autotune.tasks.mnist:Mnist"
DRAWN_POINTS = f"{TESTS}/training/tasks.py:DrawnPoints"
WEIGHTED_POINTS = f"{TESTS}/training/tasks.py:WeightedPoints"
FUNCTION = f"{TESTS}/training/digits_script.py:train"
PLAIN: Mapping[str, Scalar] = {"lr": 0.01, "batch_size": 16, "torch_threads": 1}


def _train(folder: Path, *, task: str, parameters: Mapping[str, Scalar], budget: Budget | None = None) -> StudyRecord:
    """A trial that is trained for real in this process, with its record."""
    storage = f"sqlite:///{folder}/autotune.db"
    budget = budget or Budget(trials=1, epochs=3)
    spec = make_spec(budget=budget).model_copy(update={"task": task})
    order = TrialOrder(
        study="mine",
        number=0,
        task=task,
        parameters=dict(parameters),
        objective_metrics=("val_accuracy",),
        epochs=budget.epochs,
        resource=budget.resource,
        per_trial=budget.per_trial,
        seed=11,
        device="cpu",
        folder=str(folder / "trial"),
    )
    channel = Recorder()
    finished = run_trial(order, task=load_task(task), channel=channel)
    assert finished.outcome is Outcome.COMPLETE, finished
    records = Records(open_database(storage, create=True))
    new = NewStudy(name="mine", task=task, spec_text="", spec_json=spec.model_dump_json(), seed=0)
    study = records.create_study(new)
    trial = records.add_trial(study, new=NewTrial(number=0, parameters=parameters, seed=11))
    records.launch_trial(trial, pid=1, device="cpu", environment_id=None, git_commit=None)
    records.start_trial(trial, started=channel.of(Started)[0])
    for report in channel.of(EpochReport):
        records.add_report(trial, report=report)
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.5])
    return read_record(storage, name="mine")


_ENVIRONMENT = {**os.environ, "PYTHONPATH": "", "PYTHONSAFEPATH": ""}
_PYTHON = (sys.executable, "-W", "error")
_FORKING = """
import os, runpy, sys

import torch._dynamo

for line in sys.stdin:
    script, output = line.split()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT), 1)
        sys.path[0], sys.argv = os.path.dirname(script), [script]
        os.chdir(sys.path[0])
        runpy.run_path(script, run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def runner() -> Iterator["subprocess.Popen[str]"]:
    """Runs scripts, each in a process that is forked from it: what an optimizer imports of torch takes seconds."""
    command = [*_PYTHON, "-c", _FORKING]
    with subprocess.Popen(
        command, env=_ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def _run(runner: "subprocess.Popen[str]", text: str, *, folder: Path) -> list[dict[str, float]]:
    """The metrics that the script prints, epoch by epoch, where autotune can't be imported."""
    assert runner.stdin is not None
    assert runner.stdout is not None
    output = folder / "output.txt"
    print(_write(text, folder=folder), output, file=runner.stdin, flush=True)
    assert runner.stdout.readline() == "0\n"
    return _metrics_in(output.read_text())


def _run_afresh(text: str, *, folder: Path, words: Sequence[str]) -> list[dict[str, float]]:
    """The same, as a shell runs it, with words behind the script's name."""
    command = [*_PYTHON, str(_write(text, folder=folder)), *words]
    done = subprocess.run(
        command, cwd=folder, env=_ENVIRONMENT, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return _metrics_in(done.stdout)


def _write(text: str, *, folder: Path) -> Path:
    path = folder / "winner.py"
    path.write_text(text)
    (folder / "autotune.py").write_text("raise ImportError('a script needs no autotune')")
    return path


def _metrics_in(printed: str) -> list[dict[str, float]]:
    return [
        {name: float(value) for name, value in re.findall(r"(\w+) ([-\d.e+]+)", line.partition(": ")[2])}
        for line in printed.splitlines()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "parameters", "budget"),
    [
        pytest.param(
            DIGITS,
            {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "lr": 0.05, "batch_size": 64, "dropout": 0.2,
             "schedule": "one_cycle", "warmup": 0.1, "gradient_clip": 1.0, "torch_threads": 1, "cache": "memory"},
            None,
            id="schedule, clip and cache",
        ),
        pytest.param(
            NOISY_POINTS,
            {"optimizer": "muon", "lr": 0.02, "batch_size": 8, "num_workers": 2, "persistent_workers": True,
             "prefetch_factor": 2, "torch_threads": 1},
            None,
            id="workers, augmentation and muon",
        ),
        pytest.param(DRAWN_POINTS, {"lr": 0.02, "batch_size": 8, "torch_threads": 1}, None, id="data that is drawn"),
        pytest.param(
            MNIST,
            {"optimizer": "adam", "beta1": 0.8, "lr": 0.01, "batch_size": 100, "width": 4, "depth": 1,
             "channels_last": True, "accumulate": 3, "precision": "bf16", "optimizer_impl": "foreach",
             "torch_threads": 1},
            Budget(trials=1, epochs=1),
            id="channels_last, micro-batches and bf16",
        ),
        pytest.param(
            WEIGHTED_POINTS,
            {"lr": 0.01, "batch_size": 20, "accumulate": 4, "torch_threads": 1},
            None,
            id="a count that is not of samples, micro-batches",
        ),
        pytest.param(
            POINTS,
            {"optimizer": "muon", "lr": 0.01, "optimizer_impl": "for_loop", "torch_threads": 1},
            None,
            id="the default batch, and an optimizer of one implementation",
        ),
        pytest.param(FUNCTION, {"lr": 0.01, "torch_threads": 1}, None, id="a function"),
    ],
)  # fmt: skip
def test_a_script_trains_to_the_trials_metrics_without_autotune(
    task: str, parameters: Mapping[str, Scalar], budget: Budget | None, tmp_path: Path, runner: "subprocess.Popen[str]"
) -> None:
    record = _train(tmp_path, task=task, parameters=parameters, budget=budget)
    trained = _run(runner, write_script(record, number=0), folder=tmp_path)
    assert trained == [dict(report.metrics) for report in record.reports[0]]


@pytest.mark.slow
def test_a_trial_in_samples_ends_at_the_same_step_and_leaves_its_weights(tmp_path: Path) -> None:
    budget = Budget(trials=1, epochs=9, resource="samples", per_trial=100)
    record = _train(tmp_path, task=POINTS, parameters={**PLAIN, "optimizer": "adamw"}, budget=budget)
    trained = _run_afresh(write_script(record, number=0), folder=tmp_path, words=["weights.pt"])
    assert trained == [dict(report.metrics) for report in record.reports[0]]
    assert "0.weight" in torch.load(tmp_path / "weights.pt", weights_only=True)


def test_no_name_can_end_the_docstring_of_a_script(tmp_path: Path) -> None:
    folder = tmp_path / 'a"""b\\'
    folder.mkdir()
    task = folder / 'my"""task.py'
    task.write_text((TESTS / "training" / "tasks.py").read_text())
    record = _train(tmp_path, task=f"{task}:Points", parameters=PLAIN)
    module = ast.parse(write_script(record, number=0))
    assert 'my"""task.py' in (ast.get_docstring(module) or "")


def test_a_script_for_a_gpu_sets_what_the_trial_had_and_names_nothing_that_is_not_there(tmp_path: Path) -> None:
    parameters: dict[str, Scalar] = {
        "optimizer": "muon",
        "lr": 0.01,
        "batch_size": 16,
        "gradient_clip": 1.0,
        "schedule": "cosine",
        "precision": "fp16",
        "channels_last": True,
        "compile": "default",
        "accumulate": 2,
        "pin_memory": True,
        "num_workers": 2,
        "prefetch_factor": 4,
        "cudnn_benchmark": True,
        "fp32_precision_matmul": "tf32",
    }
    record = _train(tmp_path, task=POINTS, parameters=PLAIN)
    in_force = {**record.trials[0].in_force, "num_workers": 2, "accumulate": 2, "cuda_graph": True}
    trial = replace(record.trials[0], parameters=parameters, device="cuda:0", in_force=in_force)
    path = tmp_path / "winner.py"
    path.write_text(write_script(replace(record, trials=(trial,)), number=0))
    text = path.read_text()
    assert "DEVICE = torch.device('cuda')" in text
    for line in (
        "torch.backends.cudnn.benchmark = True",
        'torch.set_float32_matmul_precision("high")',
        "SCALER = torch.amp.GradScaler('cuda')",
        "pin_memory=True",
        "model.compile(mode='default')",
        "torch.cuda.CUDAGraph()",
        "It was trained on a GPU",
    ):
        assert line in text
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E9,F63,F7,F82", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert checked.returncode == 0, checked.stdout


_RERUN = """class CudaRecorder:
    def eager(self, step):
        return step()

    def record(self, step):
        result = torch.zeros(())
        return lambda: result.copy_(step()), result

    def forget(self):
        pass

"""
"""In the place of CUDA graphs, which a CPU has not: what is recorded is run again."""


@pytest.mark.slow
@pytest.mark.parametrize("task", [STEADY_POINTS, FUNCTION], ids=["a class", "a function"])
def test_a_script_of_recorded_steps_trains_to_the_same_metrics(
    task: str, tmp_path: Path, runner: "subprocess.Popen[str]"
) -> None:
    parameters: dict[str, Scalar] = {
        "optimizer": "sgd",
        "optimizer_impl": "fused",
        "momentum": 0.5,
        "lr": 0.125,
        "schedule": "step",
        "schedule_gamma": 0.5,
        "batch_size": 16,
        "channels_last": True,
        "torch_threads": 1,
    }
    record = _train(tmp_path, task=task, parameters=parameters)
    trial = replace(record.trials[0], in_force={**record.trials[0].in_force, "cuda_graph": True})
    text = write_script(replace(record, trials=(trial,)), number=0)
    begin, end = text.index("class CudaRecorder:"), text.index("class HostState:")
    trained = _run(runner, f"{text[:begin]}{_RERUN}\n\n{text[end:]}", folder=tmp_path)
    assert trained == [dict(report.metrics) for report in record.reports[0]]


def test_a_script_does_not_import_from_the_inside_of_the_tasks_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "samename_pack"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "torch.py").write_text("raise RuntimeError('a module of the package, not torch')\n")
    (package / "mine.py").write_text((TESTS / "training" / "tasks.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    record = _train(tmp_path, task="samename_pack.mine:Points", parameters=PLAIN)
    assert f"sys.path.append({str(package)!r})" not in write_script(record, number=0)


def test_a_script_stands_in_for_all_that_user_code_sees_of_a_trial(tmp_path: Path) -> None:
    seen: set[str] = set()

    def looking(trial: Trial) -> None:
        seen.update(name for name in dir(trial) if not name.startswith("_"))
        trial.report(1, val_loss=1.0)

    train(looking, tmp_path)
    text = write_script(_train(tmp_path, task=FUNCTION, parameters=PLAIN), number=0)
    (stand_in,) = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "Trial"]
    methods = {node.name for node in stand_in.body if isinstance(node, ast.FunctionDef)}
    attributes = {node.attr for node in ast.walk(stand_in) if isinstance(node, ast.Attribute) and _is_of_self(node)}
    own = {"metrics"}  # what the script prints at its end
    assert seen == {name for name in methods | attributes if not name.startswith("_")} - own


def test_a_script_stands_in_for_all_that_user_code_may_ask_of_a_checkpoint(tmp_path: Path) -> None:
    text = write_script(_train(tmp_path, task=FUNCTION, parameters=PLAIN), number=0)
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    (made,) = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "SimpleNamespace"]
    of_the_process = {"forgo", "save_behind", "join"}  # called by what trains, never by what is trained
    known = {name for name in vars(Checkpoint) if not name.startswith("_")} | {"path"}
    assert {keyword.arg for keyword in made.keywords} == known - of_the_process


def _is_of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def test_a_task_that_takes_a_name_of_the_script_is_refused(tmp_path: Path) -> None:
    task = tmp_path / "mine.py"
    task.write_text((TESTS / "training" / "tasks.py").read_text() + "\n\ndef derive_seed():\n    return 1\n")
    record = _train(tmp_path, task=f"{task}:Points", parameters=PLAIN)
    with pytest.raises(RunError, match="a script has names of its own, got derive_seed; rename"):
        write_script(record, number=0)


OWN_LOOP = """
import torch
from torch import nn

class Drift(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, betas=(0.5, 0.5)):
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * (p.grad + group["betas"][0] + 2 * group["betas"][1])

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

def train(trial):
    model = Pair()
    optimizers = [trial.optimizer(nn.ParameterList([p])) for p in (model.one, model.other)]
    trial.autocast()
    for epoch in range(trial.epochs):
        trial.backward(model.one * (1e35 if epoch == 0 else 1.0) + model.other)
        for optimizer in optimizers:
            trial.step(optimizer)
        trial.report(epoch + 1, val_accuracy=model.one.item() ** 2 + model.other.item())
        if trial.should_stop():
            return
"""


@pytest.mark.slow
def test_a_script_has_the_optimizer_of_a_file_and_steps_several_by_one_scale(
    tmp_path: Path, runner: "subprocess.Popen[str]"
) -> None:
    (tmp_path / "own_loop.py").write_text(OWN_LOOP)
    parameters: dict[str, Scalar] = {
        "optimizer": f"{tmp_path / 'own_loop.py'}:Drift",
        "lr": 0.5,
        "beta1": 0,
        "precision": "fp16",
        "torch_threads": 1,
    }
    record = _train(tmp_path, task=f"{tmp_path / 'own_loop.py'}:train", parameters=parameters)
    trained = _run(runner, write_script(record, number=0), folder=tmp_path)
    assert trained == [dict(report.metrics) for report in record.reports[0]]
    assert trained[0]["val_accuracy"] == -1.0  # 0.5 x (1 + 2 x 0.5): the overflow of one leaves the other's gradient
