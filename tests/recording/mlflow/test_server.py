import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from autotune.errors import InputError, PortError, RunError
from autotune.events import Finished, Outcome
from autotune.recording.drafts import NewTrial
from autotune.recording.mlflow.publisher import Publisher, PublishState
from autotune.recording.mlflow.server import MlflowServer, compare_address, experiment_address, server_base
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from tests.reports import make_report


def record_trial(records: Records, study: StudyRow) -> None:
    trial = records.add_trial(study, new=NewTrial(number=0, parameters={"lr": 0.1}, seed=1))
    records.launch_trial(trial, pid=1, device="cpu", environment_id=None, git_commit=None)
    report = make_report(1, metrics={"val_accuracy": 0.5, "val_loss": float("nan")})
    records.add_report(trial, report=report)
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.5])


@pytest.mark.slow
def test_a_real_server_shows_what_was_recorded_before_it_was_started(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, port: int
) -> None:
    """The publisher meets a refused connection first, then the server; and what one tells, the other holds."""
    record_trial(records, study)
    publisher = Publisher(storage, study="digits", tracking_uri=f"http://127.0.0.1:{port}")
    publisher.start()
    assert publisher.close(timeout=30.0).num_waiting == 3
    with MlflowServer(tracking_uri, port=port) as server:
        server.wait_until_ready()
        publisher = Publisher(storage, study="digits", tracking_uri=server.address)
        publisher.start()
        assert publisher.close(timeout=30.0) == PublishState(num_waiting=0, error=None)
        client = MlflowClient(server.address)
        row = records.trial(study, number=0)
        assert row.run_id is not None
        run = client.get_run(row.run_id)
        assert (run.info.status, run.data.metrics["Objective/val_accuracy"]) == ("FINISHED", 0.5)
        assert [item.path for item in client.list_artifacts(row.run_id)] == ["configuration.json"]
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert not [process for process in processes if process.is_running() and process.status() != "zombie"]


@pytest.mark.slow
def test_a_real_server_shows_artifacts_of_runs_that_went_past_it(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, port: int
) -> None:
    record_trial(records, study)
    publisher = Publisher(storage, study="digits", tracking_uri=tracking_uri)
    publisher.start()
    publisher.close(timeout=30.0)
    run_id = records.trial(study, number=0).run_id
    with MlflowServer(tracking_uri, port=port) as server:
        server.wait_until_ready()
        query = urllib.parse.urlencode({"run_id": run_id, "path": "configuration.json"})
        with urllib.request.urlopen(f"{server.address}/get-artifact?{query}", timeout=10) as answer:
            assert json.load(answer)["parameters"] == {"lr": 0.1}
        stranger = urllib.request.Request(server.address, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(stranger, timeout=10)
        # MLflow itself lets every page of this machine write.
        page = {"Origin": "http://localhost:3000", "Content-Type": "application/json"}
        write = urllib.request.Request(f"{server.address}/api/2.0/mlflow/experiments/create", b"{}", headers=page)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(write, timeout=10)


@pytest.mark.slow
def test_a_server_elsewhere_than_on_loopback_answers_nobody_without_its_token(
    tracking_uri: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MlflowServer(tracking_uri, host="127.0.0.2", port=port) as server:
        server.wait_until_ready()
        assert server.address == f"http://127.0.0.2:{port}"
        for path in ("", "/health", "/api/2.0/mlflow/experiments/get?experiment_id=0"):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"{server.address}{path}", timeout=10)
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(server.open_address, timeout=10) as page:
            assert (page.status, page.url) == (200, f"{server.address}/")
        with browser.open(f"{server.address}/health", timeout=10) as page:
            assert page.status == 200
        token = urllib.parse.parse_qs(urllib.parse.urlsplit(server.open_address).query)["token"][0]
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
        assert MlflowClient(server.address).get_experiment("0").name == "Default"


def test_a_port_in_use_is_told(tracking_uri: str, taken_port: int) -> None:
    with pytest.raises(PortError, match=rf"127.0.0.1:{taken_port}: the port must be free, got one in use; .* --port"):
        MlflowServer(tracking_uri, port=taken_port)


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_told_with_the_option_that_names_one(
    tracking_uri: str, port: int, host: str
) -> None:
    """It read that the port was not free, and to choose another."""
    with pytest.raises(PortError, match=rf"^{host}: must be an address or a name of this machine, got .* --host$"):
        MlflowServer(tracking_uri, host=host, port=port)


def test_a_server_needs_no_server(port: int) -> None:
    with pytest.raises(InputError, match="started on a store, got a server; open it"):
        MlflowServer("http://mlflow.example", port=port)


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why(tmp_path: Path, port: int) -> None:
    store = tmp_path / "mlflow.db"
    store.write_text("not a database" * 100)
    with (
        MlflowServer(f"sqlite:///{store}", port=port) as server,
        pytest.raises(RunError, match="mlflow server ended: "),
    ):
        server.wait_until_ready()


def test_the_experiment_address_leads_to_the_runs() -> None:
    address = experiment_address("http://127.0.0.1:5000/", experiment_id="7")
    view = "workflowType=machine_learning&viewStateShareKey=trials"
    assert address == f"http://127.0.0.1:5000/#/experiments/7/runs?{view}"


def test_the_compare_address_names_runs_and_experiment() -> None:
    address = compare_address("http://127.0.0.1:5000", run_ids=["a", "b"], experiment_id="7")
    page, _, workflow = urllib.parse.unquote(address).rpartition("&")
    assert page == 'http://127.0.0.1:5000/#/compare-runs?runs=["a","b"]&experiments=["7"]'
    assert workflow == "workflowType=machine_learning"


@pytest.mark.parametrize(
    ("tracking_uri", "base"),
    [
        ("sqlite:///mlruns/mlflow.db", "http://127.0.0.1:5000"),
        ("http://mlflow.example/", "http://mlflow.example"),
    ],
)
def test_pages_are_on_the_tracking_server_or_our_own(tracking_uri: str, base: str) -> None:
    assert server_base(tracking_uri) == base
