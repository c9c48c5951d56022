"""A study as files for other programs: its trials, and every epoch that they reported."""

import csv
import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Literal, TypeAlias, get_args, get_type_hints

from autotune.errors import RunError
from autotune.events import EpochReport, Outcome, Scalar
from autotune.recording.rows import TrialRow
from autotune.report.summaries.record import StudyRecord
from autotune.spec.model import Parameter

ExportFormat: TypeAlias = Literal["csv", "parquet", "json"]

Cells: TypeAlias = Mapping[str, Scalar]
"""One row: values by column; a column that a row lacks is empty."""

Types: TypeAlias = Mapping[str, Collection[type]]
"""The types that the values of each column may have, even if no row has one."""

_TRIAL_COLUMNS = (
    "number",
    "reason",
    "traceback",
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
    "speed_fallback",
    "restarts",
    "git_commit",
)
_EPOCH_COLUMNS = tuple(name for name in EpochReport.model_fields if name not in {"kind", "metrics"})


def export_study(record: StudyRecord, *, kind: ExportFormat, output: Path) -> tuple[Path, ...]:
    """Write the study, and return the files that were written.

    JSON is one file with everything. CSV and parquet are tables: ``output`` has a row a trial, and
    ``NAME.epochs.csv`` beside it a row for every reported epoch, joined by ``trial``.

    Raises:
        RunError: A file can't be written.
    """
    trials = [_trial_cells(trial, record=record) for trial in record.trials]
    epochs = [_epoch_cells(trial.number, report) for trial in record.trials for report in record.reports[trial.number]]
    types = _trial_types(record), _epoch_types()
    beside = output.with_name(f"{output.stem}.epochs{output.suffix}")
    try:
        match kind:
            case "json":
                _write_json(output, record=record, trials=trials, epochs=epochs)
                return (output,)
            case "csv":
                _write_csv(output, trials, types=types[0])
                _write_csv(beside, epochs, types=types[1])
            case "parquet":
                _write_parquet(output, trials, types=types[0])
                _write_parquet(beside, epochs, types=types[1])
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
    own = {name: getattr(report, name) for name in _EPOCH_COLUMNS}
    return {"trial": number, **own, **{f"metrics.{name}": value for name, value in report.metrics.items()}}


def _trial_types(record: StudyRecord) -> Types:
    """Types of the columns that every study has, in their order, then of the study's parameters."""
    hints = get_type_hints(TrialRow)
    declared = {name: {_plain_type(hints[name])} for name in _TRIAL_COLUMNS}
    types: dict[str, set[type]] = {"trial": declared.pop("number"), "outcome": {str}, **declared}
    types |= {"epochs": {int}, "mlflow_run_id": {str}, "peak_memory_bytes": {int}}
    types |= {"hardware_fingerprint": {str}, "software_fingerprint": {str}}
    types |= {f"values.{name}": {float} for name in record.metrics}
    searched = {**record.spec.learning, **record.spec.speed}
    return types | {f"params.{name}": _types_of(parameter) for name, parameter in searched.items()}


def _epoch_types() -> Types:
    hints = get_type_hints(EpochReport)
    return {"trial": {int}, **{name: {_plain_type(hints[name])} for name in _EPOCH_COLUMNS}}


def _plain_type(hint: object) -> type:
    """The type without None: ``int`` for ``int | None``."""
    (kind,) = (each for each in get_args(hint) or (hint,) if isinstance(each, type) and each is not NoneType)
    return kind


def _types_of(parameter: Parameter | Scalar) -> set[type]:
    if not isinstance(parameter, Parameter):
        return {type(parameter)}
    if parameter.type == "choices":
        return {type(choice) for choice in parameter.choices}
    return {float if parameter.type == "float" else int}


def _columns(rows: Sequence[Cells], types: Types) -> list[str]:
    """Names of the columns: those of all studies, then others of these rows. A parameter without values is left out."""
    found = dict.fromkeys(name for row in rows for name in row)
    return list(dict.fromkeys([*(name for name in types if name in found or not _is_parameter(name)), *found]))


def _is_parameter(name: str) -> bool:
    return name.startswith("params.")


def _write_csv(path: Path, rows: Sequence[Cells], *, types: Types) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _columns(rows, types), restval="")
        writer.writeheader()
        writer.writerows({name: _as_text(value) for name, value in row.items()} for row in rows)


def _as_text(value: Scalar) -> Scalar:
    return str(value).lower() if isinstance(value, bool) else value


def _write_parquet(path: Path, rows: Sequence[Cells], *, types: Types) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    named = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    columns = {}
    for name in _columns(rows, types):
        values = [row.get(name) for row in rows]
        kind = _one_type(values, declared=types.get(name, set()))
        columns[name] = pa.array([_cast(value, kind) for value in values], type=named[kind])
    parquet.write_table(pa.table(columns), path)


def _one_type(values: Sequence[Scalar], *, declared: Collection[type]) -> type:
    """The type of a parquet column, which even an empty one needs: float for int and float, str for other mixtures."""
    kinds = {type(value) for value in values} | set(declared)
    kinds.discard(NoneType)
    if kinds == {int, float}:
        return float
    return kinds.pop() if len(kinds) == 1 else str


def _cast(value: Scalar, kind: type) -> Scalar:
    if value is None or type(value) is kind:
        return value
    return float(value) if kind is float else str(_as_text(value))


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
    """The row with None for NaN and infinities, which JSON lacks."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
