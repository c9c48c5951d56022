import csv
import json
import math
from pathlib import Path

import pytest
from pyarrow import parquet

from autotune.errors import RunError
from autotune.events import Outcome
from autotune.report.export.study import ExportFormat, export_study
from autotune.report.summaries.record import StudyRecord, read_record
from tests.report.study_book import StudyBook


@pytest.fixture
def record(storage: str) -> StudyRecord:
    book = StudyBook(storage)
    book.add(0, epochs=[{"val_accuracy": 0.5}, {"val_accuracy": 0.75}], parameters={"lr": 1, "nesterov": True})
    book.add(1, epochs=[{"val_accuracy": math.nan}], parameters={"lr": 0.1, "nesterov": "x"}, outcome=Outcome.DIVERGED)
    book.add(2, outcome=Outcome.FAILED, reason='ValueError: "a", b', traceback="File x\nValueError: a, b\n  c")
    return read_record(storage, name="digits")


def test_csv_has_a_row_a_trial_and_beside_it_a_row_an_epoch(record: StudyRecord, tmp_path: Path) -> None:
    written = export_study(record, kind="csv", output=tmp_path / "out.csv")
    assert written == (tmp_path / "out.csv", tmp_path / "out.epochs.csv")
    with written[0].open(newline="") as file:
        trials = list(csv.DictReader(file))
    assert [(row["trial"], row["outcome"], row["epochs"]) for row in trials] == [
        ("0", "complete", "2"),
        ("1", "diverged", "1"),
        ("2", "failed", "0"),
    ]
    assert trials[0]["values.val_accuracy"] == "0.75"
    assert trials[0]["params.nesterov"] == "true"
    assert trials[1]["values.val_accuracy"] == ""
    assert trials[2]["reason"] == 'ValueError: "a", b'
    assert trials[2]["traceback"] == "File x\nValueError: a, b\n  c"
    with written[1].open(newline="") as file:
        epochs = list(csv.DictReader(file))
    assert [(row["trial"], row["epoch"], row["metrics.val_accuracy"]) for row in epochs] == [
        ("0", "1", "0.5"),
        ("0", "2", "0.75"),
        ("1", "1", "nan"),
    ]


def test_parquet_holds_the_same_rows_with_one_type_a_column(record: StudyRecord, tmp_path: Path) -> None:
    trials, epochs = export_study(record, kind="parquet", output=tmp_path / "out.parquet")
    rows = parquet.read_table(trials).to_pylist()
    assert [row["params.lr"] for row in rows] == [1.0, 0.1, 0.1]
    assert [row["params.nesterov"] for row in rows] == ["true", "x", None]
    assert [row["epoch"] for row in parquet.read_table(epochs).to_pylist()] == [1, 2, 1]


def test_empty_columns_of_parquet_have_their_types(record: StudyRecord, tmp_path: Path) -> None:
    trials, epochs = export_study(record, kind="parquet", output=tmp_path / "out.parquet")
    types = {field.name: str(field.type) for path in (trials, epochs) for field in parquet.read_schema(path)}
    wanted = {"git_commit": "string", "num_parameters": "int64", "setup_seconds": "double", "origin": "string"}
    wanted |= {"lr": "double", "trained_samples": "int64", "power_watts": "double", "is_contended": "bool"}
    assert {name: types[name] for name in wanted} == wanted
    assert "null" not in types.values()


def test_json_is_strict_and_has_everything_in_one_file(record: StudyRecord, tmp_path: Path) -> None:
    (path,) = export_study(record, kind="json", output=tmp_path / "out.json")
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert content["study"] == "digits"
    assert content["spec"]["budget"]["epochs"] == 2
    assert [trial["trial"] for trial in content["trials"]] == [0, 1, 2]
    assert content["epochs"][2]["metrics.val_accuracy"] is None


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_a_study_without_trials_is_exported_as_well(kind: ExportFormat, storage: str, tmp_path: Path) -> None:
    StudyBook(storage)
    written = export_study(read_record(storage, name="digits"), kind=kind, output=tmp_path / f"out.{kind}")
    assert all(path.exists() for path in written)
    if kind != "json":
        assert "outcome" in (written[0].read_text() if kind == "csv" else parquet.read_schema(written[0]).names)


def test_a_place_that_takes_no_file_is_named(record: StudyRecord, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="an export must be written there, got 'No such file or directory'"):
        export_study(record, kind="csv", output=tmp_path / "missing" / "out.csv")
