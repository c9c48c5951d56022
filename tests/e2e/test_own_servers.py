import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import Home, wait_until
from tests.ports import free_port

pytestmark = pytest.mark.slow


def test_optuna_s_own_command_serves_the_study(studied: Home) -> None:
    port = free_port()
    program = Path(sys.executable).with_name("optuna-dashboard")
    command = [str(program), "sqlite:///autotune.db", "--port", str(port)]
    with run_server(command, home=studied, probe=f"http://127.0.0.1:{port}/dashboard/"):
        (study,) = ask(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        assert study["study_name"] == "digits"
        trials = ask(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}")["trials"]
        assert [trial["number"] for trial in trials] == list(range(10))


def test_mlflow_s_own_command_serves_runs_and_artifacts(studied: Home) -> None:
    study = studied.read("study", "show", "digits")
    base = f"http://127.0.0.1:{(port := free_port())}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlruns/mlflow.db"]
    command += ["--port", str(port), "--workers", "1"]  # of four, as many processes that import all of MLflow
    with run_server(command, home=studied, probe=f"{base}/health"):
        query = {"experiment_ids": [study["mlflow_experiment_id"]], "max_results": 100}
        runs = ask(f"{base}/api/2.0/mlflow/runs/search", query)["runs"]
        names = {run["info"]["run_name"].split(" · ")[0] for run in runs}
        assert names == {"digits", *(f"trial {number}" for number in range(10))}
        best = study["best"]["mlflow_run_id"]
        files = ask(f"{base}/api/2.0/mlflow/artifacts/list?run_id={best}")["files"]
        assert "configuration.json" in {file["path"] for file in files}


@contextlib.contextmanager
def run_server(command: list[str], *, home: Home, probe: str) -> Iterator[None]:
    """A server in this folder, from its first answer to the end of all its processes."""
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with subprocess.Popen(
        command,
        cwd=home.folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            wait_until(lambda: _answers(probe), timeout=60, what=f"an answer of {command}")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=45)


def ask(address: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
