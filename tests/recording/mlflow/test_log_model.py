import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from autotune.errors import RunError
from autotune.events import Finished, Outcome, Scalar, TrialOrder
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy, NewTrial
from autotune.recording.files import StudyFiles, files_root
from autotune.recording.mlflow.log_model import log_model
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.mlflow.registry import RegisteredModel, register_model
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.training.process.loading import load_task
from autotune.training.process.rebuild import rebuild_model
from autotune.training.process.run import run_trial
from tests.stores import copy_store
from tests.training.trials import Recorder

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMETERS: dict[str, Scalar] = {"batch_size": 256, "width": 8, "depth": 1, "optimizer": "adam", "lr": 1e-2}

TASK_IN_A_FILE = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

from autotune.training import Task


class Branching(nn.Module):
    # What torch.export can't trace, inside of what it can: the way depends on the data.
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x) if float(x.sum()) > 0 else self.layer(-x)


class Mine(Task):
    def train_data(self, params):
        return TensorDataset(torch.ones(64, 4), torch.zeros(64, dtype=torch.int64))

    validation_data = train_data

    def model(self, params):
        return nn.Sequential(nn.Identity(), Branching())
"""


@dataclass(frozen=True)
class Logged:
    """A study with a trial whose model is logged; no test may change it."""

    storage: str
    tracking_uri: str
    records: Records
    study: StudyRow
    checkpoint: Path
    lightning: Path
    """A file that is there when the process that logged has imported Lightning."""


LIGHTNING = """
open({marker!r}, "w").close()
raise ImportError("none that works")
"""


@pytest.fixture(autouse=True)
def mlflow_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Logged]:
    """One for all tests: the process that logs takes seconds."""
    folder = tmp_path_factory.mktemp("logged")
    lightning, packages = folder / "lightning", folder / "packages"
    packages.mkdir()
    (packages / "pytorch_lightning.py").write_text(LIGHTNING.format(marker=str(lightning)))
    paths = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        yield _log(folder, empty_store, lightning=lightning)


def _log(folder: Path, empty_store: Path, *, lightning: Path) -> Logged:
    storage, tracking_uri = f"sqlite:///{folder}/autotune.db", copy_store(empty_store, folder=folder)
    records = Records(open_database(storage, create=True))
    study = make_study(records, "autotune.tasks.digits:Digits")
    checkpoint = train(storage, records, study, parameters=PARAMETERS)
    publish(storage, tracking_uri)
    assert log_model(storage, study="digits", number=0, tracking_uri=tracking_uri) is None
    return Logged(storage, tracking_uri, records, study, checkpoint, lightning)


def make_study(records: Records, task: str) -> StudyRow:
    return records.create_study(NewStudy(name="digits", task=task, spec_text="", spec_json="{}", seed=1))


def train(storage: str, records: Records, study: StudyRow, *, parameters: Mapping[str, Scalar]) -> Path:
    """Train one epoch for real, and record that it ended; the checkpoint's path."""
    files = StudyFiles.of(study, root=files_root(storage))
    order = TrialOrder(
        study=study.name,
        number=0,
        task=study.task,
        parameters=dict(parameters),
        objective_metrics=("val_accuracy",),
        epochs=1,
        seed=1,
        device="cpu",
        folder=str(files.trial_folder(0)),
    )
    finished = run_trial(order, task=load_task(study.task), channel=Recorder())
    assert finished.outcome is Outcome.COMPLETE, finished
    trial = records.add_trial(study, new=NewTrial(number=0, parameters=parameters, seed=1))
    records.launch_trial(trial, pid=1, device="cpu", environment_id=None, git_commit=None)
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.5])
    return files.checkpoint(0)


def publish(storage: str, tracking_uri: str) -> None:
    publisher = Publisher(storage, study="digits", tracking_uri=tracking_uri)
    publisher.start()
    assert publisher.close(timeout=30.0).num_waiting == 0


def logged_uri(tracking_uri: str, records: Records, study: StudyRow) -> str:
    run_id = records.trial(study, number=0).run_id
    assert run_id is not None
    outputs = MlflowClient(tracking_uri).get_run(run_id).outputs
    assert outputs is not None
    (output,) = outputs.model_outputs
    return f"models:/{output.model_id}"


@pytest.mark.slow
def test_the_logged_model_answers_like_the_trained_one(logged: Logged) -> None:
    import mlflow

    uri = logged_uri(logged.tracking_uri, logged.records, logged.study)
    mlflow.set_tracking_uri(logged.tracking_uri)
    model = mlflow.pytorch.load_model(uri)
    rebuilt = rebuild_model(logged.study.task, parameters=PARAMETERS, checkpoint=logged.checkpoint)
    some = torch.cat([rebuilt.example_input] * 3)  # another batch size than the example's
    torch.testing.assert_close(model(some.clone()), rebuilt.model(some), rtol=1e-5, atol=1e-6)
    signature = mlflow.models.get_model_info(uri).signature
    assert signature is not None
    assert [spec.shape for spec in signature.inputs.inputs] == [(-1, 64)]
    assert [spec.shape for spec in signature.outputs.inputs] == [(-1, 10)]


@pytest.mark.slow
def test_a_model_is_logged_without_importing_lightning(logged: Logged) -> None:
    """MLflow imports it wherever it is installed, which takes two seconds, for a callback that nobody uses here."""
    assert not logged.lightning.exists()


@pytest.mark.slow
def test_a_registered_model_is_loaded_by_its_name_and_registered_once(logged: Logged) -> None:
    import mlflow

    wanted = RegisteredModel(model="digits-net", version=1, uri="models:/digits-net/1", study="digits", number=0)
    for _ in range(2):
        assert _register(logged, "digits-net") == wanted
    mlflow.set_tracking_uri(logged.tracking_uri)
    assert mlflow.pytorch.load_model("models:/digits-net/1")(torch.rand(3, 64)).shape == (3, 10)


@pytest.mark.slow
def test_a_name_that_the_registry_refuses_is_told(logged: Logged) -> None:
    with pytest.raises(RunError, match=r"Names cannot contain '/' or ':'\.; choose another name"):
        _register(logged, "a/b:c")


def _register(logged: Logged, model: str) -> RegisteredModel:
    return register_model(logged.storage, study="digits", number=0, tracking_uri=logged.tracking_uri, model=model)


@pytest.mark.slow
def test_a_model_is_logged_once(logged: Logged) -> None:
    assert log_model(logged.storage, study="digits", number=0, tracking_uri=logged.tracking_uri) is None
    experiment_id = logged.records.study("digits").experiment_id
    assert experiment_id is not None
    assert len(MlflowClient(logged.tracking_uri).search_logged_models([experiment_id])) == 1


@pytest.mark.slow
def test_a_model_from_a_file_that_cannot_be_exported_is_loaded_without_the_file(
    storage: str, tracking_uri: str, records: Records, tmp_path: Path
) -> None:
    import subprocess
    import sys

    file = tmp_path / "mine.py"
    file.write_text(TASK_IN_A_FILE)
    study = make_study(records, f"{file}:Mine")
    train(storage, records, study, parameters={"batch_size": 32})
    publish(storage, tracking_uri)
    assert log_model(storage, study="digits", number=0, tracking_uri=tracking_uri) is None
    uri = logged_uri(tracking_uri, records, study)
    file.unlink()
    program = f"""
import sys
sys.modules["pytorch_lightning"] = None  # as where it is not installed: MLflow imports it for seconds
import mlflow, torch
mlflow.set_tracking_uri({tracking_uri!r})
print(tuple(mlflow.pytorch.load_model({uri!r})(torch.ones(3, 4)).shape))
"""
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert loaded.stdout == "(3, 2)\n", loaded.stderr


@pytest.mark.slow
def test_a_model_without_its_checkpoint_is_told(storage: str, tracking_uri: str, records: Records) -> None:
    study = make_study(records, "autotune.tasks.digits:Digits")
    checkpoint = train(storage, records, study, parameters=PARAMETERS)
    publish(storage, tracking_uri)
    checkpoint.unlink()
    told = log_model(storage, study="digits", number=0, tracking_uri=tracking_uri)
    assert told == "trial 0: its model was not logged: its checkpoint is gone"


@pytest.mark.slow
def test_a_model_whose_run_mlflow_has_not_got_is_told(storage: str, tracking_uri: str, records: Records) -> None:
    study = make_study(records, "autotune.tasks.digits:Digits")
    train(storage, records, study, parameters=PARAMETERS)
    told = log_model(storage, study="digits", number=0, tracking_uri=tracking_uri)
    assert told is not None
    assert "MLflow has no run of it yet; `autotune study sync` delivers what waits" in told
