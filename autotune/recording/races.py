"""Records of races: what each found, on which hardware and software."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, RowMapping, and_, delete, exists, func, insert, or_, select, update

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.outages import not_repeated, persist, repeatable
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
    """Digest of everything, apart from the machine, that must be equal for the result to hold."""
    setting: Mapping[str, Scalar]
    """The winner's speed parameters."""
    result_json: str
    """The whole ``RaceResult``."""
    baseline_samples_per_second: float
    samples_per_second: float
    peak_memory_bytes: int
    seconds: float
    created_at: float | None = None
    """Seconds since 1970; None in a new row, which is recorded as of now."""
    id: int | None = None
    """As read; None in a new row."""
    study: str | None = None
    """Name of the study that the race ran in, as read; None where it ran in none."""


_BESIDE = ""
"""In the place of a digest: what was spent beside races that had come to their end."""


@repeatable
class RaceRecords:
    """Races of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @not_repeated
    def add(
        self,
        row: RaceRow,
        *,
        machine: Machine,
        study: StudyRow | None,
        is_answer: bool = True,
        guard: Guard | None = None,
    ) -> int:
        """Record a race that has ended, with the study that it ran in, if any; returns the race's id.

        A race is told apart from others by its study, machine, workload and the moment at which it was recorded.
        What the study was charged for one that answers nothing counts on, as its workload will be raced again.
        """
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
        mark = ("study_id", "hardware_fingerprint", "software_fingerprint", "task", "workload_digest", "created_at")
        same = and_(*(tables.race.c[name].is_not_distinct_from(values[name]) for name in mark))

        def keep() -> int:
            with transactions.write(self._engine, guard=guard) as connection:
                # It is there already where an earlier attempt's commit was done before its connection was lost.
                kept = connection.execute(select(tables.race.c.id).where(same)).scalar()
                inserted = insert(tables.race).values(values)
                key = connection.execute(inserted).inserted_primary_key if kept is None else (kept,)
                if study is not None and is_answer:
                    ended = _is_unfinished(_unfinished_row(study, digest=row.workload_digest, machine=machine))
                    connection.execute(delete(tables.race_unfinished).where(ended))
            assert key is not None, "one row has one"
            return int(key[0])

        return persist(keep)

    def complete(self, race_id: int, *, result_json: str, guard: Guard | None = None) -> None:
        """Replace a recorded race's result, with what was found out after its end."""
        mine = update(tables.race).where(tables.race.c.id == race_id)
        with transactions.write(self._engine, guard=guard) as connection:
            connection.execute(mine.values(result=result_json))

    @not_repeated
    def charge(
        self, study: StudyRow, *, digest: str | None, machine: Machine, seconds: float, guard: Guard | None = None
    ) -> None:
        """Add seconds to what the study has spent on races, and to those that this digest has no answer for yet.

        With ``digest`` None the seconds belong to a race that has ended.
        """
        race = _unfinished_row(study, digest=_BESIDE if digest is None else digest, machine=machine)
        # Only one coordinator races on such a machine at a time, so nobody else changes this figure. If the transaction
        # is repeated after it was done, the update finds another figure, and nothing is added to the study's seconds.
        before = persist(lambda: self._unfinished_seconds(race))
        spent = tables.study.c.speed_seconds + seconds
        table = tables.race_unfinished

        def pay() -> None:
            with transactions.write(self._engine, guard=guard) as connection:
                transactions.insert_or_ignore(connection, table, {**race, "seconds": 0.0})
                unpaid = _is_unfinished(race) & (table.c.seconds == before)
                paid = connection.execute(update(table).where(unpaid).values(seconds=before + seconds))
                if paid.rowcount == 1:
                    mine = update(tables.study).where(tables.study.c.id == study.id)
                    connection.execute(mine.values(speed_seconds=spent, version=tables.study.c.version + 1))

        persist(pay)

    def unfinished_seconds(self, study: StudyRow, *, digest: str, machine: Machine) -> float:
        """Seconds that the study has spent on races of this digest and machine since the last one with an answer."""
        return self._unfinished_seconds(_unfinished_row(study, digest=digest, machine=machine))

    def _unfinished_seconds(self, race: Mapping[str, object]) -> float:
        query = select(tables.race_unfinished.c.seconds).where(_is_unfinished(race))
        with transactions.read(self._engine) as connection:
            return float(connection.execute(query).scalar_one_or_none() or 0.0)

    def known(self, *, task: str, machine: Machine) -> tuple[RaceRow, ...]:
        """Races of this hardware and software whose task has this name, wherever its file lay; the newest first."""
        return self._select(
            _is_named_as(task),
            tables.race.c.hardware_fingerprint == machine.hardware_fingerprint,
            tables.race.c.software_fingerprint == machine.software_fingerprint,
        )

    def of_study(self, study: StudyRow) -> tuple[RaceRow, ...]:
        """Races that ran in the study, the newest first."""
        return self._select(tables.race.c.study_id == study.id)

    def of_others(self, study: StudyRow) -> tuple[RaceRow, ...]:
        """Races of the study's task outside of it whose results its trials may have taken over, the newest first.

        They ran in other studies or by ``autotune speed``, on the same hardware and software as some of the study's
        trials, and were recorded before the last of those started.
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
    """The condition that a race's task has this name; its file may lie anywhere, since a project may be moved."""
    return tables.race.c.task.endswith(f":{task.rpartition(':')[2]}", autoescape=True)


def _unfinished_row(study: StudyRow, *, digest: str, machine: Machine) -> dict[str, object]:
    """The columns that identify a race that has not ended."""
    return {
        "study_id": study.id,
        "hardware_fingerprint": machine.hardware_fingerprint,
        "software_fingerprint": machine.software_fingerprint,
        "workload_digest": digest,
    }


def _is_unfinished(row: Mapping[str, object]) -> ColumnElement[bool]:
    """The condition that selects the race with these columns."""
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
        id=row["id"],
        study=row["study"],
    )
