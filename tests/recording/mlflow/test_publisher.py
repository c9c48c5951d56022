import math
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from autotune.events import Finished, Outcome
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.files import StudyFiles, files_root
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publication import Publication
from autotune.recording.mlflow.publisher import Publisher, PublishState
from autotune.recording.mlflow.store import delete_experiment
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, StudyState
from tests.recording.mlflow.delivered import add_trial, find_runs, history, publish
from tests.reports import make_report


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses: bound, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server on loopback that answers everything in one way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fail(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(500)


def talk_nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<html>a captive portal</html>")


def test_a_trial_becomes_a_run_under_the_study_run(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    add_trial(records, study)
    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)
    runs = find_runs(tracking_uri, study)
    assert set(runs) == {"study", "0"}
    run = runs["0"]
    assert run.data.tags["mlflow.parentRunId"] == runs["study"].info.run_id
    assert run.info.run_name == "trial 0 · baseline · adam · lr 3e-3 · bs 128"
    assert run.data.params == {"optimizer": "adam", "lr": "0.003", "batch_size": "128"}
    expected = {
        "outcome": "complete",
        "is_baseline": "True",
        "in_force.num_workers": "2",
        "mlflow.source.git.commit": "c0ffee",
        "mlflow.source.name": "package:Digits",
        "seed": "5",
    }
    assert expected.items() <= run.data.tags.items()
    assert run.data.metrics["Objective/val_accuracy"] == pytest.approx(0.2)
    assert run.data.metrics["steady_samples_per_second"] == pytest.approx(300.0)


def test_metrics_keep_their_epochs_and_times(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    trial = add_trial(records, study)
    publish(storage, tracking_uri)
    run = find_runs(tracking_uri, study)["0"]
    assert history(tracking_uri, run, "val_accuracy") == [(1, 0.1, 1_700_000_001_000), (2, 0.2, 1_700_000_002_000)]
    assert history(tracking_uri, run, "samples_per_second")[0][1] == pytest.approx(320.0)
    started_at = records.trial(study, number=0).started_at
    assert started_at is not None
    assert run.info.start_time == round(started_at * 1000)
    assert run.info.end_time == 1_700_000_100_000
    assert trial.number == 0


def test_numbers_that_are_no_numbers_and_names_that_mlflow_refuses_arrive(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    trial = add_trial(records, study, outcome=None, num_epochs=0)
    metrics = {"val_loss": math.nan, "train_loss": math.inf, "f1@5 (macro)": 0.5, "../up": 1.0, "a//b": 2.0}
    records.add_report(trial, report=make_report(1, metrics=metrics))
    assert publish(storage, tracking_uri).error is None
    found = find_runs(tracking_uri, study)["0"].data.metrics
    assert math.isnan(found["val_loss"])
    assert found["train_loss"] > 1e300
    assert found["f1_5 _macro_"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.COMPLETE, "FINISHED"),
        (Outcome.PRUNED, "FINISHED"),
        (Outcome.DIVERGED, "FINISHED"),
        (Outcome.INFEASIBLE, "FINISHED"),
        (Outcome.TIMED_OUT, "FAILED"),
        (Outcome.FAILED, "FAILED"),
        (Outcome.INTERRUPTED, "RUNNING"),
        (None, "RUNNING"),
    ],
)
def test_a_run_has_the_status_of_its_outcome(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, outcome: Outcome | None, status: str
) -> None:
    add_trial(records, study, outcome=outcome)
    publish(storage, tracking_uri)
    run = find_runs(tracking_uri, study)["0"]
    assert run.info.status == status
    assert run.data.tags["outcome"] == (outcome or "running")
    assert run.data.tags.get("reason") == (None if outcome is None else f"it was {outcome}")


@pytest.mark.parametrize(
    ("state", "status"),
    [(StudyState.OPEN, "RUNNING"), (StudyState.COMPLETE, "FINISHED"), (StudyState.STOPPED, "FAILED")],
)
def test_the_parent_run_has_the_status_of_the_study(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, state: StudyState, status: str
) -> None:
    records.set_state(study, state=state)
    publish(storage, tracking_uri)
    assert find_runs(tracking_uri, study)["study"].info.status == status


def test_a_study_that_is_open_again_runs_again(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    records.set_state(study, state=StudyState.COMPLETE)
    publish(storage, tracking_uri)
    records.set_state(study, state=StudyState.OPEN)
    publish(storage, tracking_uri)
    assert find_runs(tracking_uri, study)["study"].info.status == "RUNNING"


def test_spec_configuration_and_the_tail_of_the_log_are_artifacts(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, tmp_path: Path
) -> None:
    files = StudyFiles.of(study, root=files_root(storage))
    log = files.trial_folder(0) / "trial.log"
    log.write_text("first\n" + "x" * 100_000 + "\nlast\n")
    add_trial(records, study)
    publish(storage, tracking_uri)
    runs = find_runs(tracking_uri, study)
    client = MlflowClient(tracking_uri)
    listed = {key: sorted(item.path for item in client.list_artifacts(run.info.run_id)) for key, run in runs.items()}
    assert listed == {
        "study": ["search_space.json", "spec.json", "spec.yaml"],
        "0": ["configuration.json", "trial.log"],
    }
    tail = Path(client.download_artifacts(runs["0"].info.run_id, "trial.log", str(tmp_path))).read_text()
    assert tail.endswith("\nlast\n")
    assert len(tail) == 64 * 1024
    spec = Path(client.download_artifacts(runs["study"].info.run_id, "spec.yaml", str(tmp_path))).read_text()
    assert spec == study.spec_text


def test_artifacts_stand_beside_the_store(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, tmp_path: Path
) -> None:
    add_trial(records, study)
    publish(storage, tracking_uri)
    assert list((tmp_path / "mlruns" / "artifacts").glob("digits-*/*/artifacts/spec.yaml"))


def test_what_is_recorded_while_it_runs_arrives_while_it_runs(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    publisher = Publisher(storage, study="digits", tracking_uri=tracking_uri)
    publisher.start()
    add_trial(records, study, outcome=None)
    publisher.notify()
    publication = Publication(records.engine, study_id=study.id)
    waited = threading.Event()
    while publication.num_waiting():
        waited.wait(0.05)
    assert find_runs(tracking_uri, study)["0"].info.status == "RUNNING"
    assert publisher.close(timeout=30.0) == PublishState(num_waiting=0, error=None)


def test_a_restarted_trial_stays_the_same_run(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    trial = add_trial(records, study, outcome=Outcome.INTERRUPTED, num_epochs=2)
    publish(storage, tracking_uri)
    before = find_runs(tracking_uri, study)["0"].info
    records.count_restart(trial)
    records.launch_trial(trial, pid=2, device="cpu", environment_id=None, git_commit="c0ffee")
    for epoch in (1, 2, 3):
        records.add_report(trial, report=make_report(epoch, metrics={"val_accuracy": epoch / 10}))
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.3])
    publish(storage, tracking_uri)
    run = find_runs(tracking_uri, study)["0"]
    assert (run.info.run_id, run.info.start_time) == (before.run_id, before.start_time)
    assert [step for step, _, _ in history(tracking_uri, run, "val_accuracy")] == [1, 2, 3]
    assert (run.info.status, run.data.tags["restarts"]) == ("FINISHED", "1")


def test_delivering_everything_again_changes_nothing(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    add_trial(records, study)
    publish(storage, tracking_uri)
    first = {key: run.to_dictionary() for key, run in find_runs(tracking_uri, study).items()}
    publication = Publication(records.engine, study_id=study.id)
    publication.forget()
    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)
    runs = find_runs(tracking_uri, study)
    assert {key: run.to_dictionary() for key, run in runs.items()} == first
    assert [step for step, _, _ in history(tracking_uri, runs["0"], "val_accuracy")] == [1, 2]


def test_a_run_that_was_made_before_a_crash_is_found_again(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    publish(storage, tracking_uri)
    add_trial(records, study)
    experiment_id = records.study("digits").experiment_id
    assert experiment_id is not None
    tags = {"autotune.study": study.uid, "autotune.run": "0"}
    made = MlflowClient(tracking_uri).create_run(experiment_id, tags=tags)
    publish(storage, tracking_uri)
    assert find_runs(tracking_uri, study)["0"].info.run_id == made.info.run_id


def test_an_experiment_of_others_with_the_name_is_left_alone(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    client = MlflowClient(tracking_uri)
    theirs = client.create_experiment("digits")
    deleted = client.create_experiment("digits-2")
    client.delete_experiment(deleted)
    add_trial(records, study)
    assert publish(storage, tracking_uri).error is None
    assert client.search_runs([theirs]) == []
    experiment_id = records.study("digits").experiment_id
    assert experiment_id is not None
    assert client.get_experiment(experiment_id).name == "digits-3"


def test_a_run_that_a_person_deleted_stays_deleted_and_keeps_nothing_back(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    trial = add_trial(records, study, outcome=None)
    publish(storage, tracking_uri)
    client = MlflowClient(tracking_uri)
    client.delete_run(find_runs(tracking_uri, study)["0"].info.run_id)
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.5])
    add_trial(records, study, number=1)
    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)
    assert set(find_runs(tracking_uri, study)) == {"study", "1"}


def test_another_mlflow_gets_everything(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, empty_store: Path, tmp_path: Path
) -> None:
    add_trial(records, study)
    publish(storage, tracking_uri)
    other = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'other.db')}"
    assert publish(storage, other) == PublishState(num_waiting=0, error=None)
    run = find_runs(other, study)["0"]
    assert run.info.run_id == records.trial(study, number=0).run_id
    assert len(history(other, run, "val_accuracy")) == 2


def test_a_store_that_was_moved_has_its_artifacts_where_they_are_now(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, tmp_path: Path
) -> None:
    """Else MLflow makes the old folder again, and finds nothing of what was logged before."""
    add_trial(records, study)
    publish(storage, tracking_uri)
    old, new = tmp_path / "mlruns", tmp_path / "moved" / "mlruns"
    new.parent.mkdir()
    old.rename(new)
    uri = f"sqlite:///{new}/mlflow.db"

    add_trial(records, study, number=1)
    assert publish(storage, uri) == PublishState(num_waiting=0, error=None)

    runs = find_runs(uri, study)
    client = MlflowClient(uri)
    for run in runs.values():  # on the disk: this process has MLflow's cache of where they were
        assert run.info.artifact_uri.startswith(new.as_uri())
        assert any(Path(run.info.artifact_uri.removeprefix("file://")).iterdir())
    assert client.get_experiment(runs["0"].info.experiment_id).artifact_location.startswith(new.as_uri())


def test_an_experiment_that_a_person_deleted_is_made_anew(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    add_trial(records, study)
    publish(storage, tracking_uri)
    MlflowClient(tracking_uri).delete_experiment(str(records.study("digits").experiment_id))
    add_trial(records, study, number=1)
    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)
    assert set(find_runs(tracking_uri, study)) == {"study", "0", "1"}


def test_a_deleted_study_leaves_its_experiment_name_free(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    add_trial(records, study)
    publish(storage, tracking_uri)
    assert delete_experiment(study, tracking_uri=tracking_uri) is None
    client = MlflowClient(tracking_uri)
    assert client.get_experiment_by_name("digits") is None
    assert client.create_experiment("digits")
    (deleted,) = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    assert deleted.name.startswith("digits (deleted ")


def test_deleting_a_study_that_mlflow_never_saw_makes_no_store(study: StudyRow, tmp_path: Path) -> None:
    assert delete_experiment(study, tracking_uri=f"sqlite:///{tmp_path}/none/mlflow.db") is None
    assert not (tmp_path / "none").exists()


def test_deleting_a_study_without_its_mlflow_server_is_told(study: StudyRow, closed_port: int) -> None:
    uri = f"http://127.0.0.1:{closed_port}"
    assert delete_experiment(study, tracking_uri=uri) == f"MLflow at {uri}: connection refused"


def deliver_later(storage: str, tracking_uri: str, records: Records, study: StudyRow) -> None:
    """All that waited is there, once."""
    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)
    runs = find_runs(tracking_uri, study)
    assert set(runs) == {"study", "0", "1"}
    for key in ("0", "1"):
        assert [step for step, _, _ in history(tracking_uri, runs[key], "val_accuracy")] == [1, 2]
    assert records.trial(study, number=0).run_id == runs["0"].info.run_id


def test_a_server_that_refuses_gets_its_rows_later(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, closed_port: int
) -> None:
    for number in (0, 1):
        add_trial(records, study, number=number)
    uri = f"http://127.0.0.1:{closed_port}"
    assert publish(storage, uri) == PublishState(num_waiting=7, error=f"MLflow at {uri}: connection refused")
    deliver_later(storage, tracking_uri, records, study)


def test_a_server_that_fails_gets_its_rows_later(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    for number in (0, 1):
        add_trial(records, study, number=number)
    with serving(fail) as uri:
        state = publish(storage, uri)
    assert state == PublishState(num_waiting=7, error=f"MLflow at {uri}: the server fails (an HTTP error of its own)")
    deliver_later(storage, tracking_uri, records, study)


def test_a_server_that_is_no_mlflow_gets_its_rows_later(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    for number in (0, 1):
        add_trial(records, study, number=number)
    with serving(talk_nonsense) as uri:
        state = publish(storage, uri)
    assert state.num_waiting == 7
    assert state.error is not None
    assert state.error.startswith(f"MLflow at {uri}: ")
    deliver_later(storage, tracking_uri, records, study)


@pytest.mark.slow
def test_a_server_that_hangs_holds_nobody_up(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    asked, let_go = threading.Event(), threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        asked.set()
        let_go.wait()

    with serving(hang) as uri:
        publisher = Publisher(storage, study="digits", tracking_uri=uri)
        publisher.start()
        asked.wait()
        for number in (0, 1):  # while the publisher hangs
            add_trial(records, study, number=number)
            publisher.notify()
        state = publisher.close(timeout=0.1)
        assert state == PublishState(num_waiting=7, error=f"MLflow at {uri}: no answer in time")
        assert publisher.close(timeout=30.0).num_waiting == 7
        let_go.set()
    deliver_later(storage, tracking_uri, records, study)


def test_a_store_of_a_kind_that_mlflow_refuses_is_told(storage: str, study: StudyRow, tmp_path: Path) -> None:
    assert study.name == "digits"
    state = publish(storage, f"file://{tmp_path}/mlruns")
    assert state.num_waiting == 1
    assert (
        state.error == f"MLflow at file://{tmp_path}/mlruns: it refuses plain folders; use sqlite:///FILE or a server"
    )


def test_no_two_publishers_deliver_one_study(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    publication = Publication(records.engine, study_id=study.id)
    held = StudyLease.acquire(publication, study=study, role="publisher")
    state = publish(storage, tracking_uri)
    assert state.num_waiting == 1
    assert state.error is not None
    assert state.error.startswith("study digits: one publisher at a time, held by pid")
    held.release()
    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)


def first_problem(storage: str, tracking_uri: str) -> str | None:
    publisher = Publisher(storage, study="digits", tracking_uri=tracking_uri)
    publisher.start()
    publisher.close(timeout=50.0)
    return publisher.first_problem


@pytest.mark.usefixtures("study")
def test_first_problem_is_that_of_an_mlflow_which_has_taken_nothing(
    storage: str, tracking_uri: str, closed_port: int
) -> None:
    uri = f"http://127.0.0.1:{closed_port}"
    assert first_problem(storage, uri) == f"MLflow at {uri}: connection refused"
    assert first_problem(storage, tracking_uri) is None


def test_waiting_for_another_publisher_is_no_problem_of_mlflow(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    held = StudyLease.acquire(Publication(records.engine, study_id=study.id), study=study, role="publisher")
    assert first_problem(storage, tracking_uri) is None
    held.release()


@pytest.mark.postgres
def test_a_study_in_postgresql_is_published(postgres_url: str, tracking_uri: str) -> None:
    records = Records(open_database(postgres_url, create=True))
    study = records.create_study(NewStudy(name="digits", task="t", spec_text="", spec_json="{}", seed=1))
    add_trial(records, study)
    assert publish(postgres_url, tracking_uri) == PublishState(num_waiting=0, error=None)
    run = find_runs(tracking_uri, study)["0"]
    assert len(history(tracking_uri, run, "val_accuracy")) == 2
    records.engine.dispose()


def test_closing_a_publisher_that_never_started_is_harmless(storage: str, tracking_uri: str) -> None:
    publisher = Publisher(storage, study="digits", tracking_uri=tracking_uri)
    publisher.notify()
    assert publisher.close(timeout=1.0) == publisher.close(timeout=1.0) == PublishState(num_waiting=0, error=None)


class _Cut(MlflowException):
    """The connection broke."""


@pytest.mark.slow
def test_a_delivery_that_breaks_anywhere_is_completed_by_the_next(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow does what it was asked, and the answer is lost: at the first call, at the second, and so on."""
    for number in (0, 1):
        add_trial(records, study, number=number)
    methods: Sequence[str] = ("create_experiment", "create_run", "log_batch", "log_text", "log_dict", "set_terminated")
    real = {name: getattr(MlflowClient, name) for name in methods}
    calls = {"left": 0}

    def breaking(name: str) -> Callable[..., object]:
        def call(client: MlflowClient, *args: object, **kwargs: object) -> object:
            result = real[name](client, *args, **kwargs)
            calls["left"] -= 1
            if calls["left"] == 0:
                raise _Cut("cut")
            return result

        return call

    for name in methods:
        monkeypatch.setattr(MlflowClient, name, breaking(name))
    num_broken = 0
    for position in range(1, 100):
        Publication(records.engine, study_id=study.id).forget()
        assert delete_experiment(study, tracking_uri=tracking_uri) is None
        calls["left"] = position
        publish(storage, tracking_uri)
        if calls["left"] > 0:
            break
        deliver_later(storage, tracking_uri, records, study)
        num_broken += 1
    assert num_broken > 10


def test_trial_that_fell_back_after_it_was_delivered_has_one_run_of_what_it_trains_with(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    """MLflow lets no parameter change, and would refuse all that comes of the trial afterwards."""
    trial = add_trial(records, study, outcome=None)
    publish(storage, tracking_uri)
    records.fall_back(trial, parameters={**trial.parameters, "num_workers": 0, "batch_size": 64}, reason="no room")
    records.add_report(trial, report=make_report(1, metrics={"val_accuracy": 0.25}))
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.2], ended_at=1_700_000_100.0)

    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)
    runs = find_runs(tracking_uri, study)
    assert set(runs) == {"study", "0"}
    assert (runs["0"].data.params["batch_size"], runs["0"].data.params["num_workers"]) == ("64", "0")
    assert runs["0"].data.tags["speed_fallback"] == "no room"
    assert [(step, value) for step, value, _ in history(tracking_uri, runs["0"], "val_accuracy")] == [(1, 0.25)]


def test_run_of_a_trial_that_fell_back_has_no_parameter_that_only_the_race_had(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    """MLflow refuses another value alone: the run kept what the trial did not train with, and its first epochs."""
    trial = add_trial(records, study, outcome=None)
    publish(storage, tracking_uri)
    left = {name: value for name, value in trial.parameters.items() if name != "batch_size"}
    assert left != trial.parameters
    records.fall_back(trial, parameters=left, reason="no room")
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.2], ended_at=1_700_000_100.0)

    assert publish(storage, tracking_uri) == PublishState(num_waiting=0, error=None)
    runs = find_runs(tracking_uri, study)
    assert set(runs) == {"study", "0"}
    assert set(runs["0"].data.params) == set(left)
    assert history(tracking_uri, runs["0"], "val_accuracy") == []
