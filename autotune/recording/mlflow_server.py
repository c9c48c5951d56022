"""MLflow's own server on a study's stores, on loopback, and the addresses of its pages."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from autotune.errors import InputError, PortError, RunError
from autotune.recording.mlflow_store import ENVIRONMENT, absolute_uri, artifacts_folder, open_client, sqlite_path
from autotune.recording.runs_view import VIEW_KEY

HOST = "127.0.0.1"
DEFAULT_PORT = 5000

_WORKFLOW = "workflowType=machine_learning"
"""Without it MLflow 3.17 shows the menu for work on language models."""

_GRACE_SECONDS = 5.0
_START_SECONDS = 120.0


def experiment_address(base: str, *, experiment_id: str) -> str:
    """The page with the experiment's runs, in the view that was saved with it.

    MLflow 3.17's own link leads to an empty overview.
    """
    view = f"{_WORKFLOW}&viewStateShareKey={VIEW_KEY}"
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{view}"


def compare_address(base: str, *, run_ids: Sequence[str], experiment_id: str) -> str:
    """The page that compares these runs."""
    runs = urllib.parse.quote(json.dumps(list(run_ids), separators=(",", ":")))
    experiments = urllib.parse.quote(json.dumps([experiment_id]))
    return f"{base.rstrip('/')}/#/compare-runs?runs={runs}&experiments={experiments}&{_WORKFLOW}"


def server_base(tracking_uri: str, *, port: int = DEFAULT_PORT) -> str:
    """Where MLflow's pages are: the tracking server itself, or the one that ``autotune mlflow`` starts."""
    return tracking_uri.rstrip("/") if tracking_uri.startswith(("http://", "https://")) else f"http://{HOST}:{port}"


class MlflowServer:
    """``mlflow server`` as a child process with its own process group; a context manager that ends it.

    Raises:
        InputError: The tracking URI is a server already.
        PortError: Somebody listens on the port.
        RunError: The server ended, or did not answer in time.
    """

    def __init__(self, tracking_uri: str, *, port: int = DEFAULT_PORT) -> None:
        if tracking_uri.startswith(("http://", "https://", "databricks")):
            raise InputError(f"{tracking_uri}: MLflow's own server is started on a store, got a server; open it")
        _check_port(port)
        path = sqlite_path(tracking_uri)
        if path is not None and not path.exists():
            open_client(tracking_uri)  # under its file lock: the server makes its store under none
        self.address = f"http://{HOST}:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``stop``
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            server_command(tracking_uri, port=port),
            env={**ENVIRONMENT, **_QUIET, **os.environ},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Of the process that leads the server's process group."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RunError(f"{self.address}: mlflow server ended: {self._last_words()}")
            if _answers(self.address):
                return
            time.sleep(0.1)
        raise RunError(f"{self.address}: mlflow server did not answer in {_START_SECONDS:.0f} s")

    def wait(self) -> int:
        """Wait for the server to end by itself; its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        """End the server with all its processes; again is harmless."""
        self._log.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(_GRACE_SECONDS)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"status {self._process.returncode}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def server_command(tracking_uri: str, *, port: int = DEFAULT_PORT) -> list[str]:
    """The command that ``MlflowServer`` runs."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", absolute_uri(tracking_uri)]
    folder = artifacts_folder(tracking_uri)
    return command if folder is None else [*command, "--artifacts-destination", folder.as_uri()]


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortError(f"port {port}: a server needs a free one, got {error.strerror!r}; choose --port") from error


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, OSError):
        return False


_QUIET = {
    # Its job runner, for evaluations of language models, is eight more processes.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
