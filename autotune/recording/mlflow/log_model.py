"""Logs the best trial's model to its MLflow run, in a process of its own, since the coordinator has no torch."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from autotune.errors import AutotuneError, RunError
from autotune.garbage import collected_seldom
from autotune.recording.database import open_database
from autotune.recording.files import StudyFiles, files_root
from autotune.recording.mlflow.run_contents import trial_params
from autotune.recording.mlflow.store import ENVIRONMENT, absolute_uri, open_client
from autotune.recording.records import Records

if TYPE_CHECKING:
    import torch
    from mlflow import MlflowClient

    from autotune.training.process.rebuild import RebuiltModel

MODEL_NAME = "model"


class _Order(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    storage: str
    study: str
    number: int
    tracking_uri: str


def log_model(
    storage: str, *, study: str, number: int, tracking_uri: str, timeout_seconds: float = 300.0
) -> str | None:
    """Log the model of a trial from its checkpoint, with its signature, to the trial's run; once.

    A KeyboardInterrupt ends the process that does it.

    Returns:
        One line that says why there is no model; None when it is logged, now or earlier.
    """
    order = _Order(storage=storage, study=study, number=number, tracking_uri=tracking_uri)
    try:
        status, told = _carry_out_elsewhere(order, timeout_seconds=timeout_seconds)
    except subprocess.TimeoutExpired:
        return f"trial {number}: its model was not logged within {timeout_seconds:.0f} s"
    if status == 0:
        return None
    lines = told.strip().splitlines() or [f"its process ended with status {status} and without a word"]
    return f"trial {number}: its model was not logged: {lines[-1]}"


def _carry_out_elsewhere(order: _Order, *, timeout_seconds: float) -> tuple[int, str]:
    """The exit status of a process that carries the order out, and what it wrote to stderr; it never outlasts this."""
    command = [sys.executable, "-m", "autotune.recording.mlflow.log_model"]
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        env=_patient_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            # The order goes through stdin: a password of the storage would be seen in the list of processes.
            _, told = process.communicate(order.model_dump_json(), timeout=timeout_seconds)
        except BaseException:
            process.kill()
            process.wait()  # ``subprocess.run`` does not, after a KeyboardInterrupt
            raise
    return process.returncode, told


def _patient_environment() -> dict[str, str]:
    """This process's environment without the publisher's short time-outs, which are too short for a large upload."""
    ours = {name: ENVIRONMENT[name] for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT")}
    patient = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "120"}
    return {**os.environ, **{name: patient[name] for name in ours if os.environ.get(name, ours[name]) == ours[name]}}


def main() -> int:
    """Carry out the order on stdin; if it fails, the last line of stderr says why."""
    try:
        order = _Order.model_validate_json(sys.stdin.read())
        with collected_seldom():
            _log(order)
    except (AutotuneError, ValidationError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _log(order: _Order) -> None:
    """Build the trial's model again, and log it to the trial's run, unless an attempt has done so."""
    records = Records(open_database(order.storage, create=False))
    study = records.study(order.study)
    trial = records.trial(study, number=order.number)
    checkpoint = StudyFiles.of(study, root=files_root(order.storage)).checkpoint(trial.number)
    if trial.run_id is None or study.experiment_id is None:
        raise RunError("MLflow has no run of it yet; `autotune study sync` delivers what waits")
    if trial.checkpoint_problem is not None:
        raise RunError(f"it has no checkpoint: {trial.checkpoint_problem}")
    if not checkpoint.exists():
        raise RunError("its checkpoint is gone")
    reports = records.reports(trial)
    records.engine.dispose()
    client = open_client(order.tracking_uri)
    import mlflow

    mlflow.set_tracking_uri(
        absolute_uri(order.tracking_uri)
    )  # ``Model.log`` takes ids, and reads the URI from here alone
    if ready_model(client, trial.run_id) is not None:
        return
    from autotune.training.process.rebuild import rebuild_model

    rebuilt = rebuild_model(study.task, parameters=dict(trial.parameters), checkpoint=checkpoint)
    last_epoch = reports[-1].report.epoch if reports else 0
    made = client.create_logged_model(
        study.experiment_id, MODEL_NAME, source_run_id=trial.run_id, params=trial_params(trial)
    )
    _save(rebuilt, task=study.task, run_id=trial.run_id, model_id=made.model_id, step=last_epoch)


def ready_model(client: "MlflowClient", run_id: str) -> str | None:
    """The id of the run's model; None where no attempt has logged one to the end."""
    outputs = client.get_run(run_id).outputs
    ids = [output.model_id for output in outputs.model_outputs] if outputs is not None else []
    return next((id_ for id_ in ids if str(client.get_logged_model(id_).status) == "READY"), None)


def _save(rebuilt: "RebuiltModel", *, task: str, run_id: str, model_id: str, step: int) -> None:
    """Log the model: as an exported graph where torch can make one, else pickled."""
    with _unfound("pytorch_lightning"):
        import mlflow.pytorch
    import torch
    from mlflow.models import Model, infer_signature

    model = rebuilt.model.cpu().eval()
    example, signature = None, None
    if isinstance(rebuilt.example_input, torch.Tensor) and isinstance(rebuilt.example_output, torch.Tensor):
        # A copy: a tensor that was made in inference mode can't be traced.
        example = rebuilt.example_input.cpu().clone()
        signature = infer_signature(example.numpy(), rebuilt.example_output.cpu().numpy())
    can_export = example is not None and _can_export(model, example)
    if not can_export:
        _pickle_by_value(model, task)
    Model.log(
        artifact_path=None,
        name=MODEL_NAME,
        flavor=mlflow.pytorch,
        run_id=run_id,
        model_id=model_id,
        step=step,
        pytorch_model=model,
        signature=signature,
        input_example=None if example is None else example.numpy(),
        # The graph needs no code of the task's to be loaded, and runs none; pickle is the way out.
        serialization_format="pt2" if can_export else "pickle",
        # Given, since MLflow would otherwise load the model in yet another process to find them out.
        pip_requirements=[f"torch=={torch.__version__}", f"mlflow=={mlflow.__version__}"],
    )


@contextmanager
def _unfound(package: str) -> Iterator[None]:
    """Let no import find the package, unless the task has imported it.

    ``mlflow.pytorch`` imports Lightning wherever it is installed, which takes as long as torch and MLflow together, and
    gives a callback for Lightning's trainer. Without it, ``mlflow.pytorch`` does without the callback.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # which the import system knows
    try:
        yield
    finally:
        del sys.modules[package]


def _can_export(model: "torch.nn.Module", example: "torch.Tensor") -> bool:
    """Whether torch can export the model as a graph; tells why where it can't."""
    import torch

    try:
        torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    except Exception as error:  # noqa: BLE001 - torch.export raises anything for code that it can't trace
        sys.stderr.write(f"{type(error).__name__}: {error}\nThe model is pickled: torch.export can't trace it.\n")
        return False
    return True


def _pickle_by_value(model: "torch.nn.Module", task: str) -> None:
    """Classes from the task's file and its neighbours, not from packages, go into the pickle with their code."""
    location = task.rpartition(":")[0]
    if not location.endswith(".py"):
        return
    import cloudpickle  # type: ignore[import-untyped]

    folder = Path(location).resolve().parent
    for name in {type(part).__module__ for part in model.modules()}:
        file = Path(getattr(sys.modules[name], "__file__", None) or "/").resolve()
        if file.is_relative_to(folder) and "site-packages" not in file.parts:
            cloudpickle.register_pickle_by_value(sys.modules[name])


if __name__ == "__main__":
    sys.exit(main())
