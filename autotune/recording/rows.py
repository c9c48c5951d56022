"""Rows of our own tables as frozen objects; times are seconds since 1970."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, cast

from sqlalchemy import RowMapping

from autotune.events import EpochReport, Outcome, Scalar
from autotune.hardware import Machine
from autotune.spec.model import StudySpec


class StudyState(StrEnum):
    """Where a study stands; whether a coordinator runs it now is what its lease says."""

    OPEN = "open"
    COMPLETE = "complete"
    """The budget is used up, or the space is exhausted."""
    STOPPED = "stopped"
    """It stopped by itself: its first trials all failed alike."""


class TrialStatus(StrEnum):
    """Where a trial stands. An interrupted trial is RUNNING with that outcome until it goes on."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """One study."""

    id: int
    uid: str
    """32 hex digits, never used again: a study of the same name made later has another."""
    name: str
    task: str
    task_digest: str | None
    """Digest of the task's source at the last start; None where that is not known."""
    spec_text: str
    """YAML, enough to parse again."""
    spec_json: str
    """The validated ``StudySpec``."""
    resolved_json: str
    """The search space as it was resolved on the machine of the last start."""
    seed: int
    state: StudyState
    created_at: float
    ended_at: float | None
    """When it was complete or stopped; None while it is open."""
    elapsed_seconds: float
    """Seconds spent in all starts together."""
    speed_seconds: float
    """The part of ``elapsed_seconds`` that was spent on races."""
    tracking_uri: str | None
    """Where MLflow's ids below are valid; without a password."""
    experiment_id: str | None
    run_id: str | None
    """MLflow's parent run."""
    version: int
    """Grows with every change that MLflow should see."""

    @cached_property
    def spec(self) -> StudySpec:
        """The study's spec, read from ``spec_json`` once."""
        return StudySpec.model_validate_json(self.spec_json)


@dataclass(frozen=True)
class Activity:
    """What a coordinator does beside its trials: the race that runs at this moment."""

    line: str
    """One line that says what is being done."""
    trial_seconds: float
    """The study's elapsed seconds without those that races took."""
    ends_at: float
    """The study's elapsed seconds at which the race must end."""


@dataclass(frozen=True, kw_only=True)
class TrialRow:
    """One trial."""

    id: int
    study_id: int
    number: int
    optuna_id: int | None
    parameters: Mapping[str, Scalar]
    origin: str | None
    """``STUDY/NUMBER`` where the trial was taken over from another study."""
    is_baseline: bool
    seed: int
    status: TrialStatus
    outcome: Outcome | None
    reason: str | None
    traceback: str | None
    values: tuple[float, ...] | None
    """One value for each objective, in the spec's order; None for a trial that gave no values."""
    in_force: Mapping[str, Scalar]
    """What was read back from torch; empty before training began."""
    device: str | None
    environment_id: int | None
    git_commit: str | None
    pid: int | None
    restarts: int
    created_at: float
    started_at: float | None
    """When the trial was first launched; a restart does not change it."""
    ended_at: float | None
    setup_seconds: float | None
    samples_per_second: float | None
    """Throughput over the steady part."""
    is_contended: bool
    """Other trials ran on the same machine: its throughput compares with nothing."""
    is_out_of_memory: bool
    """It was infeasible because memory ran out: of its device, or of the host, where the kernel killed it."""
    checkpoint_problem: str | None
    """Why it has no checkpoint of its last epoch: cause and file. None where it has one, or needs none."""
    num_parameters: int | None
    unread_parameters: tuple[str, ...]
    run_id: str | None
    """MLflow's run."""
    version: int
    """Grows with every change that MLflow should see."""
    worker: str | None = None
    """The token of the coordinator that has it, where several share the study."""
    speed_fallback: str | None = None
    """Why it trains with the baseline's speed parameters: those that a race found were infeasible. None otherwise."""

    @property
    def is_over(self) -> bool:
        """It ended with an outcome and will not go on."""
        return self.status is TrialStatus.ENDED


@dataclass(frozen=True, kw_only=True)
class ReportRow:
    """One recorded epoch of one trial."""

    trial_id: int
    number: int
    """The trial's number in its study."""
    report: EpochReport


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A machine with its software, as trials ran on it."""

    id: int
    machine: Machine

    @property
    def hardware_fingerprint(self) -> str:
        """The machine's ``hardware_fingerprint``."""
        return self.machine.hardware_fingerprint

    @property
    def software_fingerprint(self) -> str:
        """The machine's ``software_fingerprint``."""
        return self.machine.software_fingerprint


def read_study(row: RowMapping) -> StudyRow:
    """The study that a row of ``autotune_study`` holds."""
    given = _given(row, StudyRow)
    return StudyRow(**given | {"state": StudyState(row["state"])})


def read_trial(row: RowMapping) -> TrialRow:
    """The trial that a row of ``autotune_trial`` holds."""
    outcome, values = row["outcome"], row["objective_values"]
    parsed = {
        "parameters": json.loads(row["parameters"]),
        "in_force": json.loads(row["in_force"]),
        "unread_parameters": tuple(json.loads(row["unread_parameters"])),
        "values": None if values is None else tuple(json.loads(values)),
        "status": TrialStatus(row["status"]),
        "outcome": None if outcome is None else Outcome(outcome),
    }
    return TrialRow(**_given(row, TrialRow) | parsed)


def read_environment(row: RowMapping) -> Environment:
    """The machine that a row of ``autotune_environment`` holds."""
    return Environment(id=row["id"], machine=Machine.model_validate_json(row["machine"]))


def read_report(row: RowMapping) -> ReportRow:
    """The report that a row of ``autotune_report`` joined with its trial's number holds.

    SQLite keeps NaN as NULL; a NULL in a column that has no None comes back as NaN.
    """
    given = _given(row, EpochReport) | {"metrics": json.loads(row["metrics"])}
    for name, field in EpochReport.model_fields.items():
        if field.annotation is float and given.get(name) is None and name in given:
            given[name] = math.nan
    return ReportRow(trial_id=row["trial_id"], number=row["number"], report=EpochReport(**given))


def write_report(report: EpochReport) -> dict[str, object]:
    """The columns of ``autotune_report`` for a report, without its trial."""
    columns: dict[str, object] = {name: getattr(report, name) for name in REPORT_COLUMNS}
    return columns | {"metrics": json.dumps(dict(report.metrics))}


def write_json(value: Mapping[str, Scalar] | Sequence[str] | Sequence[float]) -> str:
    """The value as JSON text; NaN and infinities stay as Python's json writes them."""
    return json.dumps(value if not isinstance(value, Mapping) else dict(value))


def clean_text(text: str | None) -> str | None:
    """The text without what a database refuses: NUL (PostgreSQL) and lone surrogates (UTF-8)."""
    if text is None:
        return None
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


REPORT_COLUMNS = tuple(name for name in EpochReport.model_fields if name not in {"kind", "metrics"})
"""Fields of a report that are columns of their own."""


def _given(row: RowMapping, type_: type[object]) -> dict[str, Any]:
    """The row's values for the fields of this class, by name."""
    names = set(EpochReport.model_fields) if type_ is EpochReport else {f.name for f in fields(cast("Any", type_))}
    return {name: row[name] for name in names if name in row}
