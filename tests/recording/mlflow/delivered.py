"""A study's rows as they are recorded, delivered, and found in MLflow."""

from mlflow import MlflowClient
from mlflow.entities import Run

from autotune.events import Finished, Outcome, Scalar, Started
from autotune.recording.drafts import NewTrial
from autotune.recording.mlflow.publisher import Publisher, PublishState
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow
from tests.reports import make_report

ADAM: dict[str, Scalar] = {"optimizer": "adam", "lr": 3e-3, "batch_size": 128}


def publish(storage: str, tracking_uri: str, *, is_rebuild: bool = False) -> PublishState:
    publisher = Publisher(storage, study="digits", tracking_uri=tracking_uri, is_rebuild=is_rebuild)
    publisher.start()
    return publisher.close(timeout=50.0)


def add_trial(
    records: Records,
    study: StudyRow,
    *,
    number: int = 0,
    outcome: Outcome | None = Outcome.COMPLETE,
    num_epochs: int = 2,
) -> TrialRow:
    trial = records.add_trial(study, new=NewTrial(number=number, parameters=ADAM, seed=5, is_baseline=number == 0))
    records.launch_trial(trial, pid=1, device="cpu", environment_id=None, git_commit="c0ffee")
    records.start_trial(trial, started=Started(in_force={"num_workers": 2}, device="cpu", setup_seconds=0.1))
    for epoch in range(1, num_epochs + 1):
        records.add_report(trial, report=make_report(epoch, metrics={"val_accuracy": epoch / 10}))
    if outcome is not None:
        finished = Finished(outcome=outcome, reason=f"it was {outcome}", samples_per_second=300.0)
        values = [num_epochs / 10] if outcome is Outcome.COMPLETE else None
        records.finish_trial(trial, finished=finished, values=values, ended_at=1_700_000_100.0)
    return trial


def find_runs(tracking_uri: str, study: StudyRow) -> dict[str, Run]:
    client = MlflowClient(tracking_uri)
    experiments = client.search_experiments(filter_string=f"tags.`autotune.study` = '{study.uid}'")
    found = client.search_runs([e.experiment_id for e in experiments])
    runs = {run.data.tags["autotune.run"]: run for run in found}
    assert len(runs) == len(found), "a run was made twice"
    return runs


def history(tracking_uri: str, run: Run, key: str) -> list[tuple[int, float, int]]:
    points = MlflowClient(tracking_uri).get_metric_history(run.info.run_id, key)
    return sorted((point.step, point.value, point.timestamp) for point in points)
