import json
import urllib.parse

import pytest

from autotune.events import Outcome
from autotune.recording.mlflow.publication import Publication
from autotune.recording.places import Places
from autotune.report.dashboards.addresses import Addresses, runs_addresses, study_addresses
from autotune.report.summaries.reading import read_study
from autotune.report.text.places import DEFAULT_TRACKING_URI
from tests.report.study_book import StudyBook


def _publish(book: StudyBook) -> None:
    publication = Publication(book.records.engine, study_id=book.row.id)
    publication.set_experiment(tracking_uri=DEFAULT_TRACKING_URI, experiment_id="7", run_id="parent")
    for trial in book.records.trials(book.row):
        publication.set_run(trial, run_id=f"run{trial.number}")


def _addresses(storage: str, *, tracking_uri: str = DEFAULT_TRACKING_URI) -> Addresses:
    places = Places(storage=storage, tracking_uri=tracking_uri)
    return study_addresses(read_study(storage, name="digits"), places=places)


def _compared(address: str | None) -> list[str]:
    assert address is not None
    query = urllib.parse.parse_qs(address.partition("?")[2])
    assert json.loads(query["experiments"][0]) == ["7"]
    runs: list[str] = json.loads(query["runs"][0])
    return runs


def test_best_three_trials_and_the_baseline_are_compared(storage: str) -> None:
    book = StudyBook(storage)
    for number, accuracy in enumerate([0.1, 0.5, 0.9, 0.7, 0.6]):
        book.add(number, epochs=[{"val_accuracy": accuracy}])
    _publish(book)
    assert _compared(_addresses(storage).mlflow_compare) == ["run2", "run3", "run4", "run0"]


def test_baseline_among_the_best_is_compared_once(storage: str) -> None:
    book = StudyBook(storage)
    for number, accuracy in enumerate([0.8, 0.9]):
        book.add(number, epochs=[{"val_accuracy": accuracy}])
    _publish(book)
    assert _compared(_addresses(storage).mlflow_compare) == ["run1", "run0"]


def test_trials_cut_short_are_compared_where_few_are_complete(storage: str) -> None:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.8}])
    book.add(1, outcome=Outcome.PRUNED, epochs=[{"val_accuracy": 0.2}])
    book.add(2, outcome=Outcome.PRUNED, epochs=[{"val_accuracy": 0.3}])
    book.add(3, outcome=Outcome.FAILED)
    _publish(book)
    assert _compared(_addresses(storage).mlflow_compare) == ["run0", "run2", "run1"]


@pytest.mark.parametrize("tracking_uri", ["http://mlflow.example:5001", "http://mlflow.example:5001/"])
def test_addresses_are_those_of_the_tracking_server(storage: str, tracking_uri: str) -> None:
    _publish(StudyBook(storage))
    runs = _addresses(storage, tracking_uri=tracking_uri).mlflow_runs
    assert runs is not None
    assert runs.startswith("http://mlflow.example:5001/#/experiments/7/runs?workflowType=machine_learning")


def test_study_that_mlflow_has_not_got_has_no_address_there(storage: str) -> None:
    StudyBook(storage)
    assert _addresses(storage) == Addresses(dashboard="http://127.0.0.1:8080", mlflow_runs=None, mlflow_compare=None)


def test_runs_of_all_studies_are_listed_the_newest_first(storage: str) -> None:
    for name in ("first", "second"):
        _publish(StudyBook(storage, name=name))
    StudyBook(storage, name="unpublished")
    base = "http://127.0.0.1:5000"
    assert [name for name, _ in runs_addresses(storage, base=base)] == ["second", "first"]


def test_storage_that_is_not_there_has_no_runs() -> None:
    assert runs_addresses("sqlite:///nowhere/autotune.db", base="http://127.0.0.1:5000") == ()
