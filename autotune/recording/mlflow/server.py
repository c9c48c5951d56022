"""MLflow's own server on a study's stores, on loopback, and the addresses of its pages."""

import contextlib
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

from autotune.errors import InputError, RunError
from autotune.gate import LOOPBACK_HOST, base_address, explain_refusal, make_token, near_address, open_address
from autotune.recording.mlflow.gated_server import ServerOrder
from autotune.recording.mlflow.runs_view import VIEW_KEY
from autotune.recording.mlflow.store import ENVIRONMENT, absolute_uri, artifacts_folder, open_client, sqlite_path

DEFAULT_PORT = 5000

_WORKFLOW = "workflowType=machine_learning"
"""Part of an address; without it MLflow 3.17 shows the menu for language models."""

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


def run_address(base: str, *, experiment_id: str, run_id: str) -> str:
    """The page of one run."""
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}?{_WORKFLOW}"


def server_base(tracking_uri: str, *, port: int = DEFAULT_PORT) -> str:
    """Where MLflow's pages are: the tracking server itself, or the one that ``autotune mlflow`` starts."""
    return (
        tracking_uri.rstrip("/")
        if tracking_uri.startswith(("http://", "https://"))
        else base_address(LOOPBACK_HOST, port=port)
    )


class MlflowServer:
    """MLflow's server as a child process with its own process group; a context manager that ends it.

    On another host than loopback it asks for a token, which is in ``open_address``.

    Raises:
        InputError: The tracking URI is a server already.
        PortError: Somebody listens on the port.
        RunError: The server ended, or did not answer in time.
    """

    def __init__(self, tracking_uri: str, *, host: str = LOOPBACK_HOST, port: int = DEFAULT_PORT) -> None:
        if tracking_uri.startswith(("http://", "https://", "databricks")):
            raise InputError(f"{tracking_uri}: MLflow's own server is started on a store, got a server; open it")
        _check_port(host, port)
        path = sqlite_path(tracking_uri)
        if path is not None and not path.exists():
            open_client(tracking_uri)  # under its file lock: the server makes its store under none
        self.address = base_address(host, port=port)
        token = make_token(host)
        self._near = near_address(host, port=port)
        self._token = token
        self.open_address = open_address(self.address, token=token)
        """The address to open first, with the token where one is asked for."""
        folder = artifacts_folder(tracking_uri)
        artifacts = None if folder is None else folder.as_uri()
        order = ServerOrder(host=host, port=port, store=absolute_uri(tracking_uri), artifacts=artifacts, token=token)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by ``stop``
        self._process = subprocess.Popen(
            [sys.executable, "-m", "autotune.recording.mlflow.gated_server"],
            stdin=subprocess.PIPE,
            env={**ENVIRONMENT, **_QUIET, **os.environ},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        # Through stdin: others could read a token or a password in the list of processes.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(order.model_dump_json().encode())

    @property
    def pid(self) -> int:
        """Id of the process that leads the server's process group."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RunError(f"{self.address}: mlflow server ended: {self._last_words()}")
            if _answers(self._near, token=self._token):
                return
            time.sleep(0.1)
        raise RunError(f"{self.address}: mlflow server did not answer in {_START_SECONDS:.0f} s")

    def wait(self) -> int:
        """Wait for the server to end by itself; its exit status."""
        return self._process.wait()

    def stop(self) -> None:
        """End the server with all its processes; a second call does nothing."""
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
        """The last line of the server's log, or its exit status."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"status {self._process.returncode}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _check_port(host: str, port: int) -> None:
    """Raise PortError where another program has the port, or the host is not this machine's."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise explain_refusal(error, host=host, port=port) from error


def _answers(address: str, *, token: str | None) -> bool:
    """Whether the server answers yet."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{address}/health", headers=headers)  # noqa: S310 - our own http address
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:  # noqa: S310 - as above
            return bool(answer.status == 200)  # noqa: PLR2004 - HTTP OK
    except (urllib.error.URLError, OSError):
        return False


_QUIET = {
    # Its job runner, for evaluations of language models, is eight more processes.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
