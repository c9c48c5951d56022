"""The coordinators that share one study on a server: each has a lease, and they claim trials one at a time.

On SQLite a study has one coordinator (``StudyLease.acquire``). On PostgreSQL each coordinator is a
worker with a lease row of its own, whose token is stored in the trials that it runs. The lease of a dead worker
is deleted: its writes are refused then, and any other worker may take its unfinished trials.
"""

import time
import uuid
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from autotune.errors import StudyHeldError
from autotune.outages import not_repeated, persist, repeatable
from autotune.recording import tables, transactions
from autotune.recording.drafts import NewTrial
from autotune.recording.lease import (
    COORDINATOR,
    POLL_SECONDS,
    STALE_SECONDS,
    WORKER,
    Holder,
    StudyLease,
    Watch,
    as_holder,
    birth_of,
    describe_holder,
    is_as_seen,
    is_here,
    lease_row,
    lock_study,
)
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow, TrialStatus, read_trial
from autotune.recording.transactions import Guard

_LONGEST_LOOK_SECONDS = 5.0
"""A longer pause between two looks at the other workers counts as this long: nobody was observed in the rest."""
_CLAIMS, _RACES = 0x61757401, 0x62000000
"""First of the two numbers that name an advisory lock in PostgreSQL, for claims and for races (combined with the kind
of machine); the second number is the study's id."""


@repeatable
class Crew:
    """One worker of a study, and what it sees of the others; get one from ``join``."""

    def __init__(self, records: Records, *, study: StudyRow, lease: StudyLease, stale_seconds: float) -> None:
        self.lease = lease
        self._records = records
        self._study = study
        self._stale_seconds = stale_seconds
        self._sightings: dict[str, _Sighting] = {}
        self._looked_at = time.monotonic()

    @classmethod
    def join(cls, records: Records, *, study: StudyRow, stale_seconds: float = STALE_SECONDS) -> "Crew":
        """Become a worker; from then on each write of ``records`` checks that its lease is there.

        Raises:
            StudyHeldError: Somebody lives who has the whole study, to confirm or delete it.
        """
        token = uuid.uuid4().hex
        role = f"{WORKER}{token[:12]}"
        watch = Watch(stale_seconds)
        while (holder := _enter(records, study=study, role=role, token=token, watch=watch)) is not None:
            if watch.is_alive(holder):
                raise StudyHeldError(describe_holder(study, holder))
            time.sleep(POLL_SECONDS)
        records.guard = Guard(study_id=study.id, role=role, token=token)
        lease = StudyLease(records, study=study, role=role, token=token)
        return cls(records, study=study, lease=lease, stale_seconds=stale_seconds)

    @property
    def token(self) -> str:
        """The token that marks this worker's trials."""
        return self.lease.token

    def others(self) -> tuple[Holder, ...]:
        """Workers that have a lease, the oldest first, without this one."""
        return tuple(as_holder(row) for row in self._workers() if row["token"] != self.token)

    def elders_here(self) -> tuple[Holder, ...]:
        """Living workers on this machine that joined before this one."""
        return workers_here(self._records, study=self._study, before=self.token)

    def tokens(self) -> frozenset[str]:
        """The tokens of all workers that have a lease, this one included."""
        return frozenset(row["token"] for row in self._workers())

    def bury(self) -> bool:
        """Delete the leases of dead workers; returns whether one was deleted.

        A worker on this host is dead when its process is gone; one elsewhere, when its counter has not moved
        for ``stale_seconds`` of this process's monotonic clock. Wall clocks are not compared.
        """
        others = [row for row in self._workers() if row["token"] != self.token]
        now = time.monotonic()
        # While the server was gone, no worker could move its counter: that time counts against nobody.
        seconds = min(now - self._looked_at, _LONGEST_LOOK_SECONDS)
        self._looked_at = now
        self._sightings = {row["token"]: self._look_at(row, seconds=seconds) for row in others}
        dead = [row for row in others if self._is_dead(row)]
        removed = [self._remove(row) for row in dead]
        return any(removed)

    def has_free_trials(self) -> bool:
        """Whether a trial is unfinished that no living worker has."""
        with transactions.read(self._records.engine) as connection:
            return connection.execute(_free_trials(self._study).limit(1)).first() is not None

    @not_repeated
    @contextmanager
    def claim(self) -> Iterator["Claim"]:
        """The exclusive right to take or add one of the study's trials; other workers wait for its end.

        It is one transaction, which is committed at the end or not at all. If this process is suspended inside, the
        server ends the transaction after a time-out (see ``engines.py``).
        """
        with transactions.write(self._records.engine, guard=self._records.guard) as connection:
            lock = {"what": _CLAIMS, "study": self._study.id}
            connection.execute(text("SELECT pg_advisory_xact_lock(:what, :study)"), lock)
            yield Claim(connection, study=self._study, token=self.token)

    @not_repeated
    @contextmanager
    def race_right(self, kind: str) -> Iterator[bool]:
        """Whether this worker may race now; meanwhile no other worker on a machine of this kind may."""
        lock = {"what": _RACES ^ zlib.crc32(kind.encode()) & 0x00FFFFFF, "study": self._study.id}
        connection, has_right = persist(lambda: self._try_lock(lock))
        try:
            yield has_right
        finally:
            # The lock ends with its connection, which must not return to the pool. A server that is gone has no lock.
            connection.invalidate()
            connection.close()

    def _try_lock(self, lock: Mapping[str, int]) -> tuple[Connection, bool]:
        """A connection, and whether it has the lock for as long as it is open."""
        # Not in a transaction, since a race takes longer than the server lets one idle.
        engine = self._records.engine.execution_options(isolation_level="AUTOCOMMIT")
        try:
            connection = engine.connect()
            found = connection.execute(text("SELECT pg_try_advisory_lock(:what, :study)"), lock)
            return connection, bool(found.scalar_one())
        except DBAPIError as error:
            raise transactions.explain_error(transactions.shown_url(engine), error) from error

    def _workers(self) -> list[RowMapping]:
        return _read_workers(self._records, self._study)

    def _look_at(self, row: RowMapping, *, seconds: float) -> "_Sighting":
        """The worker's counter, and for how long it has stood still after these seconds more."""
        before = self._sightings.get(row["token"])
        if before is not None and before.counter == row["counter"]:
            return _Sighting(row["counter"], still_seconds=before.still_seconds + seconds)
        return _Sighting(row["counter"], still_seconds=0.0)

    def _is_dead(self, row: RowMapping) -> bool:
        """Whether the worker's process is gone, or its counter has stood still for too long."""
        if is_here(row):
            return bool(birth_of(row["pid"]) != row["birth"])
        return self._sightings[row["token"]].still_seconds >= self._stale_seconds

    def _remove(self, row: RowMapping) -> bool:
        """Delete a dead worker's lease; returns False where its counter has moved, or a write of it is in progress."""
        seen = (tables.lease.c.token == row["token"]) & (tables.lease.c.counter == row["counter"])
        with transactions.write(self._records.engine, guard=self._records.guard) as connection:
            # A worker in the middle of a write holds its row's lock: it lives, and is not waited for.
            locked = connection.execute(select(tables.lease.c.token).where(seen).with_for_update(skip_locked=True))
            if locked.first() is None:
                return False
            connection.execute(delete(tables.lease).where(seen))
            return True


@dataclass(frozen=True)
class _Sighting:
    """A worker's counter, and for how many seconds it was seen not to move."""

    counter: int
    still_seconds: float


class Claim:
    """The operations that are allowed while no other worker claims."""

    def __init__(self, connection: Connection, *, study: StudyRow, token: str) -> None:
        self._connection = connection
        self._study = study
        self._token = token

    def take_free(self, *, had: Collection[int]) -> TrialRow | None:
        """Take the unfinished trial without a worker that has the lowest number; None where there is none.

        Args:
            had: Numbers that this worker knows to be its own. A trial that only the tables call its own comes from a
                claim whose commit was cut off, and counts as free.
        """
        in_doubt = (tables.trial.c.worker == self._token) & tables.trial.c.number.not_in(list(had))
        free = _free_trials(self._study, or_else=in_doubt)
        found = self._connection.execute(free.limit(1)).mappings().one_or_none()
        if found is None:
            return None
        mine = tables.trial.c.id == found["id"]
        self._connection.execute(update(tables.trial).where(mine).values(worker=self._token))
        return read_trial(self._connection.execute(select(tables.trial).where(mine)).mappings().one())

    def num_trials(self) -> int:
        """Number of trials that count against the study's budget so far."""
        own = (tables.trial.c.study_id == self._study.id) & tables.trial.c.origin.is_(None)
        return int(self._connection.execute(select(func.count()).select_from(tables.trial).where(own)).scalar_one())

    def recorded(self, numbers: Collection[int]) -> frozenset[int]:
        """Which of these trials have a row."""
        number = tables.trial.c.number
        known = select(number).where(tables.trial.c.study_id == self._study.id, number.in_(list(numbers)))
        return frozenset(self._connection.execute(known).scalars())

    def add(self, new: NewTrial) -> TrialRow:
        """Add a queued trial that belongs to this worker."""
        row = {"study_id": self._study.id, **new.first_row(), "worker": self._token}
        added = self._connection.execute(insert(tables.trial).values(row).returning(tables.trial))
        return read_trial(added.mappings().one())


def _enter(records: Records, *, study: StudyRow, role: str, token: str, watch: Watch) -> RowMapping | None:
    """Make a worker's lease; the lease of the whole study in its place where that holder is not known to be dead."""
    whole = (tables.lease.c.study_id == study.id) & (tables.lease.c.role == COORDINATOR)
    with transactions.write(records.engine) as connection:
        lock_study(connection, study)
        holder = connection.execute(select(tables.lease).where(whole)).mappings().one_or_none()
        if holder is not None and not watch.is_dead(holder):
            return holder
        if holder is not None and not connection.execute(delete(tables.lease).where(is_as_seen(holder))).rowcount:
            connection.rollback()
            return holder
        connection.execute(insert(tables.lease).values(lease_row(study, role=role, token=token)))
        return None


def workers_here(records: Records, *, study: StudyRow, before: str | None = None) -> tuple[Holder, ...]:
    """The study's living workers on this machine, the oldest first; given ``before``, those older than its worker."""
    rows = takewhile(lambda row: row["token"] != before, _read_workers(records, study))
    here = [as_holder(row) for row in rows if is_here(row)]
    return tuple(holder for holder in here if not holder.is_gone)


def _read_workers(records: Records, study: StudyRow) -> list[RowMapping]:
    """The leases of the study's workers, the oldest first by their wall clocks: exact for workers of one machine."""
    lease = tables.lease
    with transactions.read(records.engine) as connection:
        query = select(lease).where(workers_of(study)).order_by(lease.c.acquired_at, lease.c.token)
        return list(connection.execute(query).mappings())


def workers_of(study: StudyRow) -> ColumnElement[bool]:
    """The condition that selects the leases of the study's workers."""
    of_study: ColumnElement[bool] = tables.lease.c.study_id == study.id
    return of_study & tables.lease.c.role.like(f"{WORKER}%")


def _free_trials(study: StudyRow, *, or_else: ColumnElement[bool] | None = None) -> Select[Any]:
    """The query for unfinished trials that no worker has, and for those that ``or_else`` selects, by number."""
    tokens = select(tables.lease.c.token).where(workers_of(study))
    trial = tables.trial
    is_free = or_(trial.c.worker.is_(None), trial.c.worker.not_in(tokens), false() if or_else is None else or_else)
    mine = (trial.c.study_id == study.id) & (trial.c.status != TrialStatus.ENDED)
    return select(trial).where(mine, is_free).order_by(trial.c.number)
