import shutil
from pathlib import Path

from mlflow import MlflowClient

from autotune.events import Finished, Outcome
from autotune.recording.mlflow.publication import Publication
from autotune.recording.mlflow.publisher import PublishState
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from tests.recording.mlflow.delivered import add_trial, find_runs, history, publish

ALL_THERE = PublishState(num_waiting=0, error=None)


def assert_all_runs_are_there_once(uri: str, study: StudyRow, *, num_trials: int) -> None:
    runs = find_runs(uri, study)
    assert set(runs) == {"study", *map(str, range(num_trials))}
    for number in range(num_trials):
        run = runs[str(number)]
        assert history(uri, run, "val_accuracy") == [(1, 0.1, 1_700_000_001_000), (2, 0.2, 1_700_000_002_000)]
        assert run.data.tags["mlflow.parentRunId"] == runs["study"].info.run_id
        assert run.info.status == "FINISHED"


def test_a_store_that_was_emptied_gets_every_run_once(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, empty_store: Path, tmp_path: Path
) -> None:
    """To the marks all is delivered: only a rebuild looks."""
    for number in range(3):
        add_trial(records, study, number=number)
    publish(storage, tracking_uri)
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    assert publish(storage, tracking_uri) == ALL_THERE
    assert find_runs(tracking_uri, study) == {}
    assert publish(storage, tracking_uri, is_rebuild=True) == ALL_THERE
    assert_all_runs_are_there_once(tracking_uri, study, num_trials=3)
    runs = find_runs(tracking_uri, study)
    assert [row.run_id for row in records.trials(study)] == [runs[str(number)].info.run_id for number in range(3)]


def test_another_store_gets_every_run_once(
    storage: str, tracking_uri: str, records: Records, study: StudyRow, empty_store: Path, tmp_path: Path
) -> None:
    add_trial(records, study)
    publish(storage, tracking_uri)
    other = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'other.db')}"
    assert publish(storage, other, is_rebuild=True) == ALL_THERE
    assert_all_runs_are_there_once(other, study, num_trials=1)


def test_a_rebuild_of_what_is_there_changes_nothing(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    for number in range(2):
        add_trial(records, study, number=number)
    publish(storage, tracking_uri)
    before = {key: run.to_dictionary() for key, run in find_runs(tracking_uri, study).items()}
    assert publish(storage, tracking_uri, is_rebuild=True) == ALL_THERE
    assert {key: run.to_dictionary() for key, run in find_runs(tracking_uri, study).items()} == before


def test_a_rebuild_makes_runs_again_that_are_missing_beside_others(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    for number in range(3):
        add_trial(records, study, number=number)
    publish(storage, tracking_uri)
    MlflowClient(tracking_uri).delete_run(find_runs(tracking_uri, study)["1"].info.run_id)
    assert publish(storage, tracking_uri, is_rebuild=True) == ALL_THERE
    assert_all_runs_are_there_once(tracking_uri, study, num_trials=3)


def test_a_rebuild_that_was_cut_off_goes_on(storage: str, tracking_uri: str, records: Records, study: StudyRow) -> None:
    """Trial 0 is there and marked; trial 1 has its run alone; trial 2 has nothing."""
    for number in range(3):
        add_trial(records, study, number=number)
    publish(storage, tracking_uri)
    client = MlflowClient(tracking_uri)
    runs = find_runs(tracking_uri, study)
    tags = {name: runs["1"].data.tags[name] for name in ("autotune.study", "autotune.run", "mlflow.parentRunId")}
    for key in ("1", "2"):
        client.delete_run(runs[key].info.run_id)
    Publication(records.engine, study_id=study.id).forget_missing({runs["study"].info.run_id, runs["0"].info.run_id})
    experiment_id = records.study("digits").experiment_id
    assert experiment_id is not None
    made = client.create_run(experiment_id, tags=tags)
    assert publish(storage, tracking_uri, is_rebuild=True) == ALL_THERE
    assert_all_runs_are_there_once(tracking_uri, study, num_trials=3)
    assert find_runs(tracking_uri, study)["0"].info.run_id == runs["0"].info.run_id
    assert find_runs(tracking_uri, study)["1"].info.run_id == made.info.run_id


def test_a_run_that_mlflow_made_twice_is_one_run_again(
    storage: str, tracking_uri: str, records: Records, study: StudyRow
) -> None:
    """It was asked for again when no answer came, and then both were made."""
    trial = add_trial(records, study, outcome=None)
    publish(storage, tracking_uri)
    run = find_runs(tracking_uri, study)["0"]
    client = MlflowClient(tracking_uri)
    tags = {name: run.data.tags[name] for name in ("autotune.study", "autotune.run")}
    client.create_run(run.info.experiment_id, start_time=run.info.start_time - 1, tags=tags)
    client.create_experiment("digits-2", tags={"autotune.study": study.uid})
    records.finish_trial(trial, finished=Finished(outcome=Outcome.COMPLETE), values=[0.2])
    assert publish(storage, tracking_uri) == ALL_THERE
    assert find_runs(tracking_uri, study)["0"].info.run_id == run.info.run_id
    assert [experiment.name for experiment in client.search_experiments()] == ["digits", "Default"]
