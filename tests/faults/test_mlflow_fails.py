"""MLflow refuses, hangs, fails, is slow or loses answers: the study never notices, and nothing is missing later."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.mlflow.publisher import PublishState
from autotune.recording.mlflow.server import MlflowServer
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from tests.e2e.home import Home, family_of, make_home, rows_of, runs_of, wait_until
from tests.faults.mlflow_proxy import FaultProxy, Mode, fault_proxy
from tests.ports import free_port
from tests.recording.mlflow.delivered import add_trial, find_runs, history, publish
from tests.stores import copy_store

pytestmark = pytest.mark.slow

SPEC = '{"objectives": [{"metric": "val_accuracy", "direction": "maximize"}]}'
NUM_ROWS = 7
"""The study's, and of two trials their own and two reports each."""


@dataclass(frozen=True)
class Tracked:
    """A study with two trials, and a real MLflow server behind a proxy."""

    storage: str
    store: str
    """The server's own, which tests read."""
    records: Records
    study: StudyRow
    proxy: FaultProxy

    def deliver(self) -> PublishState:
        return publish(self.storage, self.proxy.uri)

    def assert_the_rest_is_delivered_once(self) -> None:
        """The server answers again, and may take its time on busy cores."""
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "30"
        assert self.deliver() == PublishState(0, error=None)
        runs = find_runs(self.store, self.study)
        assert set(runs) == {"study", "0", "1"}
        for number in ("0", "1"):
            assert [point[:2] for point in history(self.store, runs[number], "val_accuracy")] == [(1, 0.1), (2, 0.2)]
            assert runs[number].info.status == "FINISHED"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    folder = tmp_path_factory.mktemp("tracked")
    copy_store(empty_store, folder=folder)
    return folder


@pytest.fixture(scope="module")
def server_port(folder: Path) -> Iterator[int]:
    """Of one MLflow server for all tests: it takes seconds to start."""
    port = free_port()
    with MlflowServer(f"sqlite:///{folder}/mlruns/mlflow.db", port=port) as server:
        server.wait_until_ready()
        yield port


@pytest.fixture
def proxy(server_port: int) -> Iterator[FaultProxy]:
    with fault_proxy(server_port) as proxy:
        yield proxy


@pytest.fixture
def tracked(tmp_path: Path, folder: Path, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracked]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    storage = f"sqlite:///{tmp_path}/autotune.db"
    records = Records(open_database(storage, create=True))
    study = records.create_study(NewStudy(name="digits", task="a:B", spec_text="", spec_json=SPEC, seed=1))
    for number in (0, 1):
        add_trial(records, study, number=number)
    yield Tracked(storage, f"sqlite:///{folder}/mlruns/mlflow.db", records, study, proxy)
    records.engine.dispose()


def test_mlflow_refuses(tracked: Tracked) -> None:
    state = tracked.deliver()
    assert state == PublishState(NUM_ROWS, error=f"MLflow at {tracked.proxy.uri}: connection refused")
    tracked.proxy.listen()
    tracked.assert_the_rest_is_delivered_once()


@pytest.mark.parametrize(
    ("mode", "told"),
    [("hang", "no answer in time"), ("fail", "the server fails (an HTTP error of its own)")],
)
def test_mlflow_hangs_or_answers_500(tracked: Tracked, mode: Mode, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mode == "fail":
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")  # its answer may be late on busy cores
    tracked.proxy.listen()
    tracked.proxy.mode = mode
    assert tracked.deliver() == PublishState(NUM_ROWS, error=f"MLflow at {tracked.proxy.uri}: {told}")
    tracked.proxy.let_go.set()
    tracked.proxy.mode = "pass"
    tracked.assert_the_rest_is_delivered_once()


def test_mlflow_does_what_it_was_asked_and_its_answer_is_lost(tracked: Tracked) -> None:
    """Else a run that was made is made again."""
    tracked.proxy.listen()
    tracked.proxy.mode = "lose"
    while (state := tracked.deliver()).num_waiting:
        assert state.error is not None
    assert tracked.proxy.asked["lose"] > 3
    tracked.assert_the_rest_is_delivered_once()


def test_mlflow_does_what_it_was_asked_when_nobody_waits_any_more(tracked: Tracked) -> None:
    """Else an experiment and a run that come late stay beside those that were asked for again."""
    tracked.proxy.listen()
    tracked.proxy.mode = "late"
    for _ in range(4):
        assert tracked.deliver().error == f"MLflow at {tracked.proxy.uri}: no answer in time"
    tracked.proxy.settle()
    tracked.proxy.mode = "pass"
    tracked.assert_the_rest_is_delivered_once()


def test_mlflow_fails_in_every_way_while_a_study_runs(
    tmp_path: Path, proxy: FaultProxy, folder: Path, empty_store: Path
) -> None:
    """No process that trains has a connection to anything but its coordinator, so that none can wait for MLflow."""
    home = make_home(tmp_path, store=empty_store)
    task = home.folder / "tiny.py"
    task.write_text(task.read_text().replace("time.sleep(0.01)", "time.sleep(0.01)\n        print('a step')"))
    environment = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    words = ("study", "start", "tiny.yaml", "--tracking-uri", proxy.uri)
    process = start(home, *words, environment=environment)
    home.wait_for("trial 0 epoch 1/3")
    proxy.mode = "hang"
    proxy.listen()
    wait_until(lambda: proxy.asked["hang"] > 0, timeout=45, what="a request that hangs")
    wait_until(lambda: connected(process.pid) == [process.pid], timeout=45, what="a connection to MLflow")
    modes: list[Mode] = ["fail", "slow", "fail"]
    for number, mode in enumerate(modes):
        home.wait_for(f"trial {number} complete")
        proxy.mode = mode
    assert process.wait(timeout=60) == 0
    assert "MLflow has not got" in home.output
    assert [row.outcome for row in rows_of(home.folder, "tiny")] == ["complete"] * 4
    proxy.mode = "pass"
    proxy.let_go.set()
    home.run("study", "sync", "tiny", "--tracking-uri", proxy.uri)
    runs = runs_of(folder, "tiny")
    assert sorted(runs) == [0, 1, 2, 3]
    home.run("study", "rebuild-mlflow", "tiny")
    rebuilt = runs_of(home.folder, "tiny")
    assert {number: run.data.metrics for number, run in rebuilt.items()} == {
        number: run.data.metrics for number, run in runs.items()
    }
    logs = MlflowClient(f"sqlite:///{home.folder}/mlruns/mlflow.db").list_artifacts(rebuilt[0].info.run_id)
    assert [item.path for item in logs] == ["configuration.json", "trial.log"]


def connected(pid: int) -> list[int]:
    """Of this process and all below it, those with a connection; none below it may ever have one."""
    found: list[int] = []
    for each in family_of(pid):
        with contextlib.suppress(psutil.Error):
            found += [each.pid] if each.net_connections("tcp") else []
    assert set(found) <= {pid}
    return found


def start(home: Home, *words: str, environment: dict[str, str]) -> psutil.Popen:
    with (home.folder / "output.txt").open("a") as output:
        return psutil.Popen(
            home.command(*words),
            cwd=home.folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **environment},
        )
