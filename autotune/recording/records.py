"""Reads and writes our own tables for the coordinator, the reports and the CLI; each call is one transaction."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from autotune.errors import InputError, StudyNotFoundError
from autotune.events import Adjusted, EpochReport, Finished, Outcome, Scalar, Started
from autotune.outages import not_repeated, persist, repeatable
from autotune.recording import tables, transactions
from autotune.recording.drafts import NewStudy, NewTrial
from autotune.recording.files import check_study_name, is_study_name
from autotune.recording.rows import (
    ReportRow,
    StudyRow,
    StudyState,
    TrialRow,
    TrialStatus,
    clean_text,
    read_report,
    read_study,
    read_trial,
    write_json,
    write_report,
)
from autotune.recording.transactions import Guard
from autotune.spec.names import nearest


@repeatable
class Records:
    """Studies, trials and reports in one database.

    ``guard`` is set by a lease (``StudyLease.acquire``): from then on, each write checks that
    the lease is still ours and raises LeaseLostError when it is not.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.guard: Guard | None = None

    @not_repeated
    def create_study(self, new: NewStudy) -> StudyRow:
        """A new study; raises InputError where the name is taken or can't be one."""
        check_study_name(new.name)
        try:
            with transactions.write(self.engine) as connection:
                key = connection.execute(insert(tables.study).values(new.first_row())).inserted_primary_key
                assert key is not None
                made = connection.execute(select(tables.study).where(tables.study.c.id == key[0]))
                return read_study(made.mappings().one())
        except IntegrityError as error:
            raise InputError(f"study {new.name}: a name is used once, got one that exists; resume it") from error

    def study(self, name: str) -> StudyRow:
        """The study of that name; StudyNotFoundError names the nearest one."""
        with transactions.read(self.engine) as connection:
            if is_study_name(name):  # drivers refuse some texts that can be typed
                named = select(tables.study).where(tables.study.c.name == name)
                row = connection.execute(named).mappings().one_or_none()
                if row is not None:
                    return read_study(row)
            names = list(connection.execute(select(tables.study.c.name).order_by(tables.study.c.name)).scalars())
        raise StudyNotFoundError(f"study {name}: no such study here; {_alternatives(name, names)}")

    def find_study(self, name: str) -> StudyRow | None:
        """The study of that name, if there is one."""
        try:
            return self.study(name)
        except StudyNotFoundError:
            return None

    def studies(self) -> tuple[StudyRow, ...]:
        """All studies, oldest first."""
        with transactions.read(self.engine) as connection:
            rows = connection.execute(select(tables.study).order_by(tables.study.c.id)).mappings()
            return tuple(read_study(row) for row in rows)

    def update_spec(self, study: StudyRow, *, spec_text: str, spec_json: str, resolved_json: str) -> StudyRow:
        """Give the study another spec, and open it again."""
        texts = {"spec_text": spec_text, "spec_json": spec_json, "resolved_json": resolved_json}
        self._change_study(study, {**texts, "state": StudyState.OPEN, "ended_at": None})
        return self.study(study.name)

    def set_task(self, study: StudyRow, *, task: str, digest: str | None) -> None:
        """Record where the study's task lies now, and what its source is."""
        self._change_study(study, {"task": task, "task_digest": digest})

    def set_state(self, study: StudyRow, *, state: StudyState) -> None:
        """Record the study's state."""
        self._change_study(study, {"state": state, "ended_at": None if state is StudyState.OPEN else time.time()})

    def touch_study(self, study: StudyRow) -> None:
        """Mark the study for delivery to MLflow after a change in another study: its confirmation."""
        self._change_study(study, {})

    def set_seconds(self, study: StudyRow, *, seconds: float) -> None:
        """Record the seconds that the study has spent over all starts; a number below the recorded one is ignored."""
        elapsed = tables.study.c.elapsed_seconds
        mine = (tables.study.c.id == study.id) & (elapsed < seconds)
        with self._write() as connection:
            connection.execute(update(tables.study).where(mine).values(elapsed_seconds=seconds))

    def delete_study(self, study: StudyRow) -> None:
        """Delete the study with its trials, reports and leases, but neither its files nor its runs in MLflow.

        Its races stay, for later studies of the same task.
        """
        trials = select(tables.trial.c.id).where(tables.trial.c.study_id == study.id)
        with self._write() as connection:
            connection.execute(delete(tables.report).where(tables.report.c.trial_id.in_(trials)))
            raced = update(tables.race).where(tables.race.c.study_id == study.id)
            connection.execute(raced.values(study_id=None))
            for table in (tables.trial, tables.lease, tables.race_unfinished):
                connection.execute(delete(table).where(table.c.study_id == study.id))
            connection.execute(delete(tables.study).where(tables.study.c.id == study.id))

    def add_trial(self, study: StudyRow, *, new: NewTrial) -> TrialRow:
        """Record a queued trial before anything starts; if the number exists already, its row is returned unchanged."""
        with self._write() as connection:
            transactions.insert_or_ignore(connection, tables.trial, {"study_id": study.id, **new.first_row()})
            return _trial(connection, study.id, new.number)

    def take_over_trial(
        self,
        study: StudyRow,
        *,
        new: NewTrial,
        finished: Finished,
        values: Sequence[float] | None,
        reports: Sequence[EpochReport] = (),
        ended_at: float | None = None,
    ) -> None:
        """Record a trial that ended elsewhere, with its reports and its end; one that is recorded so is left unchanged.

        It is one transaction, since a trial that has not ended is trained by whoever sees it.
        """
        with self._write() as connection:
            transactions.insert_or_ignore(connection, tables.trial, {"study_id": study.id, **new.first_row()})
            trial = _trial(connection, study.id, new.number)
            if trial.is_over:
                return
            for report in reports:
                row = {"trial_id": trial.id, **write_report(report)}
                transactions.insert_or_ignore(connection, tables.report, row)
            _change_trial(connection, trial, _end_of(finished, values=values, ended_at=ended_at))

    def trial(self, study: StudyRow, *, number: int) -> TrialRow:
        """The trial of that number; StudyNotFoundError where the study has none."""
        with transactions.read(self.engine) as connection:
            return _trial(connection, study.id, number)

    def set_parameters(self, trial: TrialRow, *, parameters: Mapping[str, Scalar]) -> TrialRow:
        """Replace the parameters of a queued trial."""
        self._change_trial(trial, {"parameters": write_json(parameters)})
        return replace(trial, parameters=parameters)

    def fall_back(self, trial: TrialRow, *, parameters: Mapping[str, Scalar], reason: str) -> TrialRow:
        """Replace the parameters of a trial that could not be trained with a race's speed parameters; record why.

        Its reports are deleted: it begins anew, and the epochs that it had are no part of the training that counts.
        """
        why = clean_text(reason)
        with self._write() as connection:
            connection.execute(delete(tables.report).where(tables.report.c.trial_id == trial.id))
            _change_trial(connection, trial, {"parameters": write_json(parameters), "speed_fallback": why})
        return replace(trial, parameters=parameters, speed_fallback=why)

    @not_repeated
    def finish_study(self, study: StudyRow) -> bool:
        """Record that the study is complete, unless a trial of it has not ended; returns whether this call did so."""
        unfinished = select(tables.trial.c.id).where(
            tables.trial.c.study_id == study.id, tables.trial.c.status != TrialStatus.ENDED
        )
        is_mine = (tables.study.c.id == study.id) & (tables.study.c.state != StudyState.COMPLETE)
        changes = {"state": StudyState.COMPLETE, "ended_at": time.time(), "version": tables.study.c.version + 1}
        has_ended = False

        def end() -> None:
            nonlocal has_ended
            with self._write() as connection:
                ended = connection.execute(update(tables.study).where(is_mine, ~unfinished.exists()).values(changes))
                has_ended |= ended.rowcount == 1

        persist(end)  # an attempt whose commit was cut off counts as done if it found the study unfinished
        return has_ended

    def newer_trials(self, study: StudyRow, *, than: int, and_those: Collection[int]) -> tuple[TrialRow, ...]:
        """Trials whose number is above ``than`` or among ``and_those``, by number."""
        number = tables.trial.c.number
        wanted = (tables.trial.c.study_id == study.id) & ((number > than) | number.in_(list(and_those)))
        with transactions.read(self.engine) as connection:
            rows = connection.execute(select(tables.trial).where(wanted).order_by(number)).mappings()
            return tuple(read_trial(row) for row in rows)

    @property
    def is_shareable(self) -> bool:
        """Several coordinators may run one study of this database: it is on a server, which has the locks for that."""
        return self.engine.dialect.name == "postgresql"

    def trials(self, study: StudyRow) -> tuple[TrialRow, ...]:
        """All trials by number."""
        with transactions.read(self.engine) as connection:
            query = select(tables.trial).where(tables.trial.c.study_id == study.id).order_by(tables.trial.c.number)
            return tuple(read_trial(row) for row in connection.execute(query).mappings())

    def fallen_back(self, study: StudyRow) -> tuple[TrialRow, ...]:
        """Trials that could not be trained with a race's speed parameters, by number."""
        mine = (tables.trial.c.study_id == study.id) & tables.trial.c.speed_fallback.is_not(None)
        with transactions.read(self.engine) as connection:
            rows = connection.execute(select(tables.trial).where(mine).order_by(tables.trial.c.number)).mappings()
            return tuple(read_trial(row) for row in rows)

    def launch_trial(
        self,
        trial: TrialRow,
        *,
        pid: int | None,
        device: str,
        environment_id: int | None,
        git_commit: str | None,
        is_contended: bool = False,
    ) -> None:
        """Record that a process of this trial was started; only the first launch sets ``started_at``.

        A trial that was contended once stays contended.
        """
        now = time.time()
        changes: dict[str, object] = {
            "status": TrialStatus.RUNNING,
            "outcome": None,
            "reason": None,
            "pid": pid,
            "device": device,
            "environment_id": environment_id,
            "git_commit": git_commit,
            "checkpoint_problem": None,
            "started_at": func.coalesce(tables.trial.c.started_at, now),
        }
        if is_contended:
            changes["is_contended"] = True
        self._change_trial(trial, changes)

    def start_trial(self, trial: TrialRow, *, started: Started) -> None:
        """Record that training began, and with which parameters in force."""
        changes: dict[str, object] = {
            "in_force": write_json(started.in_force),
            "device": started.device,
            "setup_seconds": started.setup_seconds,
            "num_parameters": started.num_parameters,
        }
        self._change_trial(trial, changes)

    def adjust_trial(self, trial: TrialRow, *, adjusted: Adjusted) -> None:
        """Record that training changed the parameters in force."""
        self._change_trial(trial, {"in_force": write_json(adjusted.in_force)})

    def set_checkpoint_problem(self, trial: TrialRow, *, problem: str | None) -> None:
        """Record why the trial has no checkpoint of its last epoch; None when it has one."""
        self._change_trial(trial, {"checkpoint_problem": clean_text(problem)})

    @not_repeated
    def add_report(self, trial: TrialRow, *, report: EpochReport) -> bool:
        """Record an epoch, once: False where the trial has that epoch already."""
        return self.add_reports([(trial, report)])[0]

    @not_repeated
    def add_reports(self, reports: Sequence[tuple[TrialRow, EpochReport]]) -> list[bool]:
        """Record epochs of several trials in one transaction; returns for each whether it was new."""
        are_new = [False] * len(reports)

        def add() -> None:
            with self._write() as connection:
                for index, (trial, report) in enumerate(reports):
                    row = {"trial_id": trial.id, **write_report(report)}
                    are_new[index] |= transactions.insert_or_ignore(connection, tables.report, row)

        persist(add)  # an epoch that any attempt found new counts as new, even if that attempt's commit was cut off
        return are_new

    def reports(self, trial: TrialRow) -> tuple[ReportRow, ...]:
        """The trial's epochs in order."""
        return self._reports(tables.report.c.trial_id == trial.id)

    def all_reports(self, study: StudyRow) -> tuple[ReportRow, ...]:
        """The epochs of all trials, by trial number and epoch."""
        return self._reports(tables.trial.c.study_id == study.id)

    def peak_memory(self, study: StudyRow) -> Mapping[int, int]:
        """The peak memory in bytes of each trial that has reported, by number."""
        peak = func.max(tables.report.c.peak_memory_bytes)
        query = select(tables.trial.c.number, peak).join(tables.report).where(tables.trial.c.study_id == study.id)
        with transactions.read(self.engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query.group_by(tables.trial.c.number))}

    def epochs_trained(self, study: StudyRow) -> tuple[int, ...]:
        """Number of epochs of each complete trial of the study's own."""
        last = func.max(tables.report.c.epoch)
        is_own = and_(tables.trial.c.study_id == study.id, tables.trial.c.origin.is_(None))
        mine = and_(is_own, tables.trial.c.outcome == Outcome.COMPLETE.value)
        query = select(last).join_from(tables.trial, tables.report).where(mine).group_by(tables.trial.c.id)
        with transactions.read(self.engine) as connection:
            return tuple(connection.execute(query).scalars())

    def finish_trial(
        self,
        trial: TrialRow,
        *,
        finished: Finished,
        values: Sequence[float] | None,
        ended_at: float | None = None,
        environment_id: int | None = None,
    ) -> None:
        """Record how the trial ended; an interrupted one stays running until it is launched again.

        Args:
            trial: The trial.
            finished: Its end.
            values: One value for each objective; None where the trial has none.
            ended_at: Seconds since 1970; now if None.
            environment_id: Set for a trial that was never launched, since its race ran out of memory.
        """
        changes = _end_of(finished, values=values, ended_at=ended_at)
        if environment_id is not None:
            changes["environment_id"] = environment_id
        self._change_trial(trial, changes)

    @not_repeated
    def count_restart(self, trial: TrialRow) -> int:
        """Add one to the times that the trial was started again, and return how many they are."""
        # Read apart from the write, so that repeating the write has no effect. Nobody else changes this trial.
        restarts = persist(lambda: self._restarts(trial)) + 1

        def count() -> None:
            with self._write() as connection:
                connection.execute(update(tables.trial).where(tables.trial.c.id == trial.id).values(restarts=restarts))

        persist(count)
        return restarts

    def _restarts(self, trial: TrialRow) -> int:
        with transactions.read(self.engine) as connection:
            query = select(tables.trial.c.restarts).where(tables.trial.c.id == trial.id)
            return int(connection.execute(query).scalar_one())

    def _write(self) -> AbstractContextManager[Connection]:
        return transactions.write(self.engine, guard=self.guard)

    def _change_study(self, study: StudyRow, changes: Mapping[str, object]) -> None:
        mine = update(tables.study).where(tables.study.c.id == study.id)
        with self._write() as connection:
            connection.execute(mine.values({**changes, "version": tables.study.c.version + 1}))

    def _change_trial(self, trial: TrialRow, changes: Mapping[str, object]) -> None:
        with self._write() as connection:
            _change_trial(connection, trial, changes)

    def _reports(self, condition: ColumnElement[bool]) -> tuple[ReportRow, ...]:
        query = select(tables.report, tables.trial.c.number).join(tables.trial).where(condition)
        with transactions.read(self.engine) as connection:
            rows = connection.execute(query.order_by(tables.trial.c.number, tables.report.c.epoch)).mappings()
            return tuple(read_report(row) for row in rows)


def _end_of(finished: Finished, *, values: Sequence[float] | None, ended_at: float | None) -> dict[str, object]:
    """The columns that record a trial's end; without ``ended_at`` it is now."""
    is_over = finished.outcome is not Outcome.INTERRUPTED
    changes: dict[str, object] = {
        "status": TrialStatus.ENDED if is_over else TrialStatus.RUNNING,
        "outcome": finished.outcome,
        "reason": clean_text(finished.reason),
        "traceback": clean_text(finished.traceback),
        "objective_values": None if values is None else write_json(list(values)),
        "unread_parameters": write_json(finished.unread_parameters),
        "is_out_of_memory": finished.is_out_of_memory,
        "pid": None,
        "ended_at": (time.time() if ended_at is None else ended_at) if is_over else None,
    }
    if finished.samples_per_second is not None:
        changes["samples_per_second"] = finished.samples_per_second
    return changes


def _change_trial(connection: Connection, trial: TrialRow, changes: Mapping[str, object]) -> None:
    mine = update(tables.trial).where(tables.trial.c.id == trial.id)
    connection.execute(mine.values({**changes, "version": tables.trial.c.version + 1}))


def _trial(connection: Connection, study_id: int, number: int) -> TrialRow:
    query = select(tables.trial).where(tables.trial.c.study_id == study_id, tables.trial.c.number == number)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise StudyNotFoundError(f"trial {number}: no such trial in this study; `autotune study trials` lists them")
    return read_trial(row)


def _alternatives(name: str, names: Sequence[str]) -> str:
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {near}?"
    if not names:
        return "there is none yet"
    return f"there {'is' if len(names) == 1 else 'are'} {', '.join(names[:10])}"
