"""A study as files for other programs: its trials, and every epoch that they reported."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from autotune.errors import RunError
from autotune.events import EpochReport, Outcome, Scalar
from autotune.recording.rows import TrialRow
from autotune.report.record import StudyRecord

ExportFormat: TypeAlias = Literal["csv", "parquet", "json"]

Cells: TypeAlias = Mapping[str, Scalar]
"""One row by the names of its columns; what a row lacks is empty."""

_TRIAL_COLUMNS = (
    "number",
    "reason",
    "is_baseline",
    "origin",
    "seed",
    "device",
    "created_at",
    "started_at",
    "ended_at",
    "setup_seconds",
    "samples_per_second",
    "is_contended",
    "is_out_of_memory",
    "num_parameters",
    "checkpoint_problem",
    "restarts",
    "git_commit",
)


def export_study(record: StudyRecord, *, kind: ExportFormat, output: Path) -> tuple[Path, ...]:
    """Write the study, and return the files that were written.

    JSON is one file with everything. CSV and parquet are tables: ``output`` has a row a trial, and
    ``NAME.epochs.csv`` beside it a row for every reported epoch, joined by ``trial``.

    Raises:
        RunError: A file can't be written.
    """
    trials = [_trial_cells(trial, record=record) for trial in record.trials]
    epochs = [_epoch_cells(trial.number, report) for trial in record.trials for report in record.reports[trial.number]]
    beside = output.with_name(f"{output.stem}.epochs{output.suffix}")
    try:
        match kind:
            case "json":
                _write_json(output, record=record, trials=trials, epochs=epochs)
                return (output,)
            case "csv":
                _write_csv(output, trials)
                _write_csv(beside, epochs)
            case "parquet":
                _write_parquet(output, trials)
                _write_parquet(beside, epochs)
    except OSError as error:
        raise RunError(f"{output}: an export must be written there, got {error.strerror!r}; choose another") from error
    return output, beside


def _trial_cells(trial: TrialRow, *, record: StudyRecord) -> Cells:
    reports = record.reports[trial.number]
    cells: dict[str, Scalar] = {name: getattr(trial, name) for name in _TRIAL_COLUMNS}
    outcome = trial.outcome or trial.status
    environment = record.environments.get(trial.environment_id) if trial.environment_id is not None else None
    cells = {"trial": cells.pop("number"), "outcome": outcome.value, **cells}
    cells |= {"epochs": reports[-1].epoch if reports else 0, "mlflow_run_id": trial.run_id}
    cells["peak_memory_bytes"] = max((report.peak_memory_bytes for report in reports), default=None)
    cells["hardware_fingerprint"] = environment.hardware_fingerprint if environment else None
    cells["software_fingerprint"] = environment.software_fingerprint if environment else None
    if trial.outcome is Outcome.COMPLETE and trial.values is not None:
        cells |= {f"values.{name}": value for name, value in zip(record.metrics, trial.values, strict=True)}
    cells |= {f"params.{name}": value for name, value in trial.parameters.items()}
    return cells | {f"in_force.{name}": value for name, value in trial.in_force.items()}


def _epoch_cells(number: int, report: EpochReport) -> Cells:
    own = {name: getattr(report, name) for name in EpochReport.model_fields if name not in {"kind", "metrics"}}
    return {"trial": number, **own, **{f"metrics.{name}": value for name, value in report.metrics.items()}}


def _columns(rows: Sequence[Cells]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _write_csv(path: Path, rows: Sequence[Cells]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(rows), restval="")
        writer.writeheader()
        writer.writerows({name: _as_text(value) for name, value in row.items()} for row in rows)


def _as_text(value: Scalar) -> Scalar:
    return str(value).lower() if isinstance(value, bool) else value


def _write_parquet(path: Path, rows: Sequence[Cells]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {name: _one_type([row.get(name) for row in rows]) for name in _columns(rows)}
    parquet.write_table(pa.table(columns), path)


def _one_type(values: Sequence[Scalar]) -> list[Scalar]:
    """A parquet column has one type: whole numbers beside fractions become floats, any other mixture texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(_as_text(value)) for value in values]
    return list(values)


def _write_json(path: Path, *, record: StudyRecord, trials: Sequence[Cells], epochs: Sequence[Cells]) -> None:
    study = record.study
    content = {
        "study": study.name,
        "task": study.task,
        "state": study.state.value,
        "created_at": study.created_at,
        "elapsed_seconds": study.elapsed_seconds,
        "spec": record.spec.model_dump(mode="json"),
        "trials": [_finite(trial) for trial in trials],
        "epochs": [_finite(epoch) for epoch in epochs],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _finite(row: Cells) -> Cells:
    """JSON knows neither NaN nor infinities: they become null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
