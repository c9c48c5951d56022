"""What races found, by the hardware and software that they ran on."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, RowMapping, and_, delete, exists, func, insert, or_, select, update

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.outages import repeatable
from autotune.recording import tables, transactions
from autotune.recording.rows import StudyRow, write_json
from autotune.recording.transactions import Guard


@dataclass(frozen=True, kw_only=True)
class RaceRow:
    """One race that came to its end."""

    task: str
    device: str
    num_cores: int
    workload: Mapping[str, Scalar]
    """The learning parameters that fix what a step costs."""
    workload_digest: str
    """Of all that must be the same for the result to hold on the same machine."""
    setting: Mapping[str, Scalar]
    """The winner."""
    result_json: str
    """The whole ``RaceResult``."""
    baseline_samples_per_second: float
    samples_per_second: float
    peak_memory_bytes: int
    seconds: float
    created_at: float | None = None
    """Seconds since 1970; now, for a new one."""
    study: str | None = None
    """Name of the study that it ran in, as read; None where it ran in none."""


@repeatable()
class RaceRecords:
    """Races of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, row: RaceRow, *, machine: Machine, study: StudyRow | None, guard: Guard | None = None) -> int:
        """Keep a race with the study that it ran in, if there is one: it has come to its end there. Returns its id."""
        values: dict[str, object] = {
            "study_id": study.id if study is not None else None,
            "hardware_fingerprint": machine.hardware_fingerprint,
            "software_fingerprint": machine.software_fingerprint,
            "task": row.task,
            "workload": write_json(row.workload),
            "workload_digest": row.workload_digest,
            "device": row.device,
            "num_cores": row.num_cores,
            "setting": write_json(row.setting),
            "result": row.result_json,
            "baseline_samples_per_second": row.baseline_samples_per_second,
            "samples_per_second": row.samples_per_second,
            "peak_memory_bytes": row.peak_memory_bytes,
            "seconds": row.seconds,
            "created_at": time.time() if row.created_at is None else row.created_at,
        }
        with transactions.write(self._engine, guard=guard) as connection:
            key = connection.execute(insert(tables.race).values(values)).inserted_primary_key
            if study is not None:
                ended = _is_unfinished(_unfinished_row(study, digest=row.workload_digest, machine=machine))
                connection.execute(delete(tables.race_unfinished).where(ended))
        assert key is not None, "one row has one"
        return int(key[0])

    def complete(self, race_id: int, *, result_json: str, guard: Guard | None = None) -> None:
        """Write down what was found out after a race that has been kept."""
        mine = update(tables.race).where(tables.race.c.id == race_id)
        with transactions.write(self._engine, guard=guard) as connection:
            connection.execute(mine.values(result=result_json))

    def charge(
        self, study: StudyRow, *, digest: str | None, machine: Machine, seconds: float, guard: Guard | None = None
    ) -> None:
        """Add to what the study has spent on races, and on the one of this digest, which may never come to its end.

        None: what is spent beside a race that has come to its end.
        """
        spent = tables.study.c.speed_seconds + seconds
        mine = update(tables.study).where(tables.study.c.id == study.id)
        table = tables.race_unfinished
        with transactions.write(self._engine, guard=guard) as connection:
            connection.execute(mine.values(speed_seconds=spent, version=tables.study.c.version + 1))
            if digest is None:
                return
            race = _unfinished_row(study, digest=digest, machine=machine)
            transactions.insert_or_ignore(connection, table, {**race, "seconds": 0.0})
            connection.execute(update(table).where(_is_unfinished(race)).values(seconds=table.c.seconds + seconds))

    def unfinished_seconds(self, study: StudyRow, *, digest: str, machine: Machine) -> float:
        """What the study has spent on races of this digest and machine since one of them came to its end."""
        race = _unfinished_row(study, digest=digest, machine=machine)
        query = select(tables.race_unfinished.c.seconds).where(_is_unfinished(race))
        with transactions.read(self._engine) as connection:
            return float(connection.execute(query).scalar_one_or_none() or 0.0)

    def known(self, *, task: str, machine: Machine) -> tuple[RaceRow, ...]:
        """Races of the tasks of this name on this very hardware and software, the newest first: a task may be moved."""
        return self._select(
            _is_named_as(task),
            tables.race.c.hardware_fingerprint == machine.hardware_fingerprint,
            tables.race.c.software_fingerprint == machine.software_fingerprint,
        )

    def of_study(self, study: StudyRow) -> tuple[RaceRow, ...]:
        """Races that ran in the study, the newest first."""
        return self._select(tables.race.c.study_id == study.id)

    def of_others(self, study: StudyRow) -> tuple[RaceRow, ...]:
        """Races of the study's task that ran elsewhere, on hardware and software of its trials and before they ended.

        Those of other studies and of ``autotune speed``, the newest first: what its trials may have taken over.
        """
        here, trial = tables.environment.c, tables.trial.c
        machines = (
            select(here.hardware_fingerprint, here.software_fingerprint, func.max(trial.started_at).label("until"))
            .join_from(tables.trial, tables.environment)
            .where(trial.study_id == study.id)
            .group_by(here.hardware_fingerprint, here.software_fingerprint)
            .subquery()
            .c
        )
        race = tables.race.c
        is_before = exists().where(
            machines.hardware_fingerprint == race.hardware_fingerprint,
            machines.software_fingerprint == race.software_fingerprint,
            machines.until > race.created_at,
        )
        is_elsewhere = or_(race.study_id.is_(None), race.study_id != study.id)
        return self._select(_is_named_as(study.task), is_before, is_elsewhere)

    def _select(self, *conditions: ColumnElement[bool]) -> tuple[RaceRow, ...]:
        races = tables.race.outerjoin(tables.study, tables.race.c.study_id == tables.study.c.id)
        columns = select(tables.race, tables.study.c.name.label("study")).select_from(races)
        query = columns.where(*conditions).order_by(tables.race.c.id.desc())
        with transactions.read(self._engine) as connection:
            return tuple(_read(row) for row in connection.execute(query).mappings())


def _is_named_as(task: str) -> ColumnElement[bool]:
    """A task of the same name, wherever it lies: it may have been moved."""
    return tables.race.c.task.endswith(f":{task.rpartition(':')[2]}", autoescape=True)


def _unfinished_row(study: StudyRow, *, digest: str, machine: Machine) -> dict[str, object]:
    """What a race that has not come to its end is known by."""
    return {
        "study_id": study.id,
        "hardware_fingerprint": machine.hardware_fingerprint,
        "software_fingerprint": machine.software_fingerprint,
        "workload_digest": digest,
    }


def _is_unfinished(row: Mapping[str, object]) -> ColumnElement[bool]:
    return and_(*(tables.race_unfinished.c[name] == value for name, value in row.items()))


def _read(row: RowMapping) -> RaceRow:
    return RaceRow(
        task=row["task"],
        device=row["device"],
        num_cores=row["num_cores"],
        workload=json.loads(row["workload"]),
        workload_digest=row["workload_digest"],
        setting=json.loads(row["setting"]),
        result_json=row["result"],
        baseline_samples_per_second=row["baseline_samples_per_second"],
        samples_per_second=row["samples_per_second"],
        peak_memory_bytes=row["peak_memory_bytes"],
        seconds=row["seconds"],
        created_at=row["created_at"],
        study=row["study"],
    )
