import json
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from autotune.cli.main import root
from autotune.errors import RunError
from autotune.events import Outcome
from autotune.recording.mlflow.publication import Publication
from autotune.report.summaries.studies import BestTrial, StudySummary
from autotune.report.summaries.trials import TrialSummary
from autotune.spec.model import Objective
from tests.report.study_book import StudyBook, make_spec


@pytest.fixture
def book(storage: str) -> StudyBook:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.8}], seconds=[9.0, 2.0])
    book.add(1, epochs=[{"val_accuracy": 0.7}, {"val_accuracy": 0.9}], parameters={"lr": 0.123456789, "layers": None})
    book.add(2, outcome=Outcome.FAILED, reason="ValueError: no\x1b[2Jsuch")
    return book


def _publish(book: StudyBook) -> None:
    publication = Publication(book.records.engine, study_id=book.row.id)
    publication.set_experiment(tracking_uri="sqlite:///mlruns/mlflow.db", experiment_id="7", run_id="parent")
    for trial in book.records.trials(book.row):
        publication.set_run(trial, run_id=f"run{trial.number}")


def _answer(*arguments: str) -> str:
    return CliRunner().invoke(root, list(arguments), prog_name="autotune", catch_exceptions=False).stdout


def test_list_shows_each_study_with_its_best(book: StudyBook) -> None:
    lines = _answer("study", "list", "--storage", book.storage).splitlines()
    assert lines[0].split() == ["name", "state", "trials", "time", "best"]
    assert lines[1].split() == ["digits", "open", "3", "0:00", "val_accuracy", "0.9"]


def test_list_shows_the_best_value_of_each_objective(storage: str) -> None:
    objectives = [
        Objective(metric="val_accuracy", direction="maximize"),
        Objective(metric="cost", direction="minimize"),
    ]
    book = StudyBook(storage, spec=make_spec(objectives))
    assert _answer("study", "list", "--storage", storage).splitlines()[1].endswith("val_accuracy -, cost -")
    for number, (accuracy, cost) in enumerate([(0.7, 3.0), (0.9, 5.0), (0.8, 4.5), (0.6, 4.0)]):
        book.add(number, epochs=[{"val_accuracy": accuracy, "cost": cost}])
    assert _answer("study", "list", "--storage", storage).splitlines()[1].endswith("val_accuracy 0.9, cost 3")
    (study,) = json.loads(_answer("study", "list", "--storage", storage, "--json"))
    assert [objective["metric"] for objective in study["objectives"]] == ["val_accuracy", "cost"]
    assert [trial["number"] for trial in study["front"]] == [1, 2, 0]


def test_list_of_an_empty_storage_has_nothing_on_stdout(storage: str) -> None:
    StudyBook(storage).records.delete_study(StudyBook(storage, name="other").row)
    answer = CliRunner().invoke(root, ["study", "list", "--storage", storage, "--json"], catch_exceptions=False)
    assert [study["name"] for study in json.loads(answer.stdout)] == ["digits"]


def test_show_says_what_was_found_and_where_to_look(book: StudyBook) -> None:
    _publish(book)
    text = _answer("study", "show", "digits", "--storage", book.storage)
    assert "best: trial 1, val_accuracy 0.9 (baseline 0.8, +0.1)" in text
    assert "1x failed: ValueError: no [2Jsuch" in text
    assert "http://127.0.0.1:8080" in text
    assert "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning" in text
    assert 'compare-runs?runs=["run1","run0"]&experiments=["7"]' in text.replace("%22", '"').replace(
        "%5B", "["
    ).replace("%5D", "]").replace("%2C", ",")
    assert f"autotune study best digits --storage {book.storage}" in text


def test_show_has_the_documented_keys(book: StudyBook) -> None:
    shown = json.loads(_answer("study", "show", "digits", "--storage", book.storage, "--json"))
    assert list(shown) == [*(field.name for field in fields(StudySummary)), "verdict", "addresses"]
    assert shown["best"]["number"] == 1
    assert shown["gain"]["is_better"] is True
    assert shown["addresses"] == {"dashboard": "http://127.0.0.1:8080", "mlflow_runs": None, "mlflow_compare": None}


def test_best_shows_parameters_exactly(book: StudyBook) -> None:
    assert _answer("study", "best", "digits", "--storage", book.storage).splitlines() == [
        "trial 1: val_accuracy 0.9, 500 samples/s",
        "  lr:     0.123456789",
        "  layers: null",
    ]


def test_best_has_the_documented_keys(book: StudyBook) -> None:
    shown = json.loads(_answer("study", "best", "digits", "--storage", book.storage, "--json"))
    assert list(shown) == [field.name for field in fields(BestTrial)]
    assert shown["value"] == 0.9
    assert shown["parameters"] == shown["best"]["parameters"] == {"lr": 0.123456789, "layers": None}
    assert [trial["number"] for trial in shown["front"]] == [1]


def test_best_fails_while_no_trial_is_complete(storage: str) -> None:
    StudyBook(storage).add(0, outcome=Outcome.DIVERGED)
    with pytest.raises(RunError, match="must be a complete one, got none yet"):
        _answer("study", "best", "digits", "--storage", storage)


def test_trials_are_one_line_each_in_a_pipe(book: StudyBook) -> None:
    lines = _answer("study", "trials", "digits", "--storage", book.storage).splitlines()
    assert len(lines) == 4
    assert lines[3].split()[:4] == ["2", "failed", "-", "0"]


def test_trials_have_the_documented_keys(book: StudyBook) -> None:
    shown = json.loads(_answer("study", "trials", "digits", "--storage", book.storage, "--json"))
    assert [list(trial) for trial in shown] == [[field.name for field in fields(TrialSummary)]] * 3


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (["study", "show"], [*(field.name for field in fields(StudySummary)), "addresses"]),
        (["study", "best"], [field.name for field in fields(BestTrial)]),
        (["study", "trials"], [field.name for field in fields(TrialSummary)]),
    ],
)
def test_help_documents_every_key(command: list[str], keys: list[str]) -> None:
    text = _answer(*command, "--help")
    documented = (
        text.partition("JSON")[2].partition("Options:")[0].replace(",", " ").replace(".", " ").replace("(", " ").split()
    )
    assert set(keys) <= set(documented)


def test_storage_comes_from_the_environment(book: StudyBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTUNE_STORAGE", book.storage)
    text = _answer("study", "show", "digits")
    assert "autotune study best digits  " in text


def test_reading_makes_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(root, ["study", "list"])
    assert list(tmp_path.iterdir()) == []


def test_dash_is_stdout_for_a_report_and_no_file_for_an_export(
    book: StudyBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = set(tmp_path.iterdir())
    text = _answer("study", "report", "digits", "--format", "json", "--output", "-", "--storage", book.storage)
    assert json.loads(text)["name"] == "digits"
    command = ["study", "export", "digits", "--format", "json", "--output", "-", "--storage", book.storage]
    answer = CliRunner().invoke(root, command, prog_name="autotune")
    assert answer.exit_code == 2
    assert "an export is files, not stdout; name one, such as digits.json" in answer.stderr
    assert set(tmp_path.iterdir()) == there
