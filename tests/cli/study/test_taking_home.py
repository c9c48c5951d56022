import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autotune.cli.main import root
from tests.report.study_book import StudyBook


@pytest.fixture
def book(storage: str) -> StudyBook:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.75}, {"val_accuracy": 0.8}], parameters={"lr": 0.1, "width": 8})
    book.add(1, epochs=[{"val_accuracy": 0.75}, {"val_accuracy": 0.9}], parameters={"lr": 0.1, "width": 16})
    return book


def _answer(*words: str, book: StudyBook) -> Result:
    return CliRunner().invoke(root, ["study", *words, "--storage", book.storage], prog_name="autotune")


def test_a_model_is_not_left_unregistered_for_the_sake_of_a_format(book: StudyBook) -> None:
    answer = _answer("best", "digits", "--format", "yaml", "--register", "digits", book=book)
    assert answer.exit_code == 2
    assert "--format and --register exclude each other" in answer.stderr


def test_trial_that_is_not_there_is_told_with_those_that_are(book: StudyBook) -> None:
    book.add(3, epochs=[{"val_accuracy": 0.6}])  # 2 is another coordinator's, which has not written it down yet
    answer = _answer("best", "digits", "--format", "yaml", "--trial", "2", book=book)
    assert "trial 2: study digits must have it, got trials 0 to 1, 3; choose one" in str(answer.exception)
    answer = _answer("compare", "digits:2", "digits:0", book=book)
    assert "digits:2: the study must have this trial, got trials 0 to 1, 3; choose one" in str(answer.exception)


def test_compare_prints_a_column_a_trial(book: StudyBook) -> None:
    lines = _answer("compare", "digits:0", "digits", book=book).stdout.splitlines()
    assert lines[0].split() == ["digits:0", "digits"]
    assert [line.split() for line in lines if line.startswith("width")] == [["width", "8", "16"]]
    assert lines[-1] == "the same in all: lr 0.1"


def test_compare_has_the_documented_keys(book: StudyBook) -> None:
    shown = json.loads(_answer("compare", "digits:0", "digits:1", "--json", book=book).stdout)
    assert list(shown) == ["contenders", "differing", "shared", "metrics"]
    assert shown["differing"] == {"width": [8, 16]}


def test_export_names_the_files_that_it_wrote(book: StudyBook, tmp_path: Path) -> None:
    target = tmp_path / "digits.csv"
    assert _answer("export", "digits", "--output", str(target), book=book).stdout.splitlines() == [
        str(target),
        str(tmp_path / "digits.epochs.csv"),
    ]


def test_export_wants_to_know_the_format(book: StudyBook, tmp_path: Path) -> None:
    answer = _answer("export", "digits", "--output", str(tmp_path / "digits.txt"), book=book)
    assert answer.exit_code == 2
    assert "the suffix must be .csv, .parquet or .json" in answer.stderr


def test_report_writes_a_page_named_after_the_study(
    book: StudyBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _answer("report", "digits", book=book).stdout.splitlines() == ["digits-report.html"]
    assert (tmp_path / "digits-report.html").read_text().startswith("<!doctype html>")


def test_report_as_json_has_the_documented_keys(book: StudyBook) -> None:
    shown = json.loads(_answer("report", "digits", "--format", "json", book=book).stdout)
    assert list(shown) == ["name", "task", "objectives", "state", "made", "sections"]
    assert [list(section) for section in shown["sections"]] == [["key", "title", "data"]] * len(shown["sections"])
    assert shown["sections"][0]["data"]["best"]["number"] == 1


def test_report_as_markdown_goes_to_stdout(book: StudyBook) -> None:
    assert _answer("report", "digits", "--format", "markdown", book=book).stdout.startswith("# Study digits\n")


def test_only_a_page_can_be_opened(book: StudyBook) -> None:
    answer = _answer("report", "digits", "--format", "json", "--open", book=book)
    assert answer.exit_code == 2
    assert "--open shows a page" in answer.stderr
