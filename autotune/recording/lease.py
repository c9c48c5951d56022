"""The lease that makes one process a study's holder: a row with a token, and a counter that the holder keeps moving."""

import datetime as dt
import os
import socket
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, and_, delete, false, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from autotune.errors import StudyHeldError
from autotune.outages import repeatable
from autotune.recording import tables, transactions
from autotune.recording.rows import Activity, StudyRow
from autotune.recording.transactions import Guard, Guarded

COORDINATOR = "coordinator"
"""Role of the process that runs the study alone."""
PUBLISHER = "publisher"
"""Role of the process that delivers the study to MLflow."""
WORKER = "worker "
"""Prefix of the roles of processes that share the study; each has letters of its own behind it (see ``crew.py``)."""

STALE_SECONDS = 30.0
"""A counter that stands still for this long is a dead holder's; a holder beats at least three times as often."""

POLL_SECONDS = 0.25
"""Between two looks at a holder that may be dead."""

_ours: set[str] = set()
"""Tokens of the leases that this process holds."""


@repeatable
class StudyLease:
    """The right to run a study, or to deliver it."""

    def __init__(self, guarded: Guarded, *, study: StudyRow, role: str, token: str) -> None:
        self._guarded = guarded
        self._study = study
        self._role = role
        self.token = token
        _ours.add(token)

    @classmethod
    def acquire(
        cls,
        guarded: Guarded,
        *,
        study: StudyRow,
        role: str = COORDINATOR,
        stale_seconds: float = STALE_SECONDS,
    ) -> "StudyLease":
        """Take the lease; from then on each write of ``guarded`` checks that it is still ours.

        A holder on this host whose process is gone is taken over at once. One on another host is
        dead when its counter stands still for ``stale_seconds`` of this process's monotonic clock:
        wall clocks of two machines are never compared.

        Raises:
            StudyHeldError: Somebody else holds it and lives.
        """
        watches: dict[str, Watch] = {}
        while True:
            with transactions.read(guarded.engine) as connection:
                holders = connection.execute(select(tables.lease).where(_holders(study, role))).mappings().all()
            seen = [(holder, watches.setdefault(holder["token"], Watch(stale_seconds))) for holder in holders]
            living = [holder for holder, watch in seen if not watch.is_dead(holder) and watch.is_alive(holder)]
            if living:
                raise StudyHeldError(describe_holder(study, living[0]))
            if not all(watch.is_dead(holder) for holder, watch in seen):
                time.sleep(POLL_SECONDS)
                continue
            token = _take(guarded.engine, study=study, role=role, dead=holders)
            if token is not None:
                guarded.guard = Guard(study_id=study.id, role=role, token=token)
                return cls(guarded, study=study, role=role, token=token)

    def beat(self) -> None:
        """Move the counter; raises LeaseLostError when another process has the lease now."""
        mine = _key(self._study, self._role) & (tables.lease.c.token == self.token)
        with transactions.write(self._guarded.engine) as connection:
            moved = connection.execute(update(tables.lease).where(mine).values(counter=tables.lease.c.counter + 1))
            if moved.rowcount != 1:
                guard = Guard(study_id=self._study.id, role=self._role, token=self.token)
                raise transactions.lease_lost(connection, guard)

    def tell(self, activity: Activity | None) -> None:
        """Tell watchers what is done beside trials; None when that is over. It is gone when the lease is."""
        mine = _key(self._study, self._role) & (tables.lease.c.token == self.token)
        with transactions.write(self._guarded.engine) as connection:
            connection.execute(update(tables.lease).where(mine).values(_told(activity)))

    def release(self) -> None:
        """Give the lease back; nothing happens when another process has it."""
        mine = _key(self._study, self._role) & (tables.lease.c.token == self.token)
        with transactions.write(self._guarded.engine) as connection:
            connection.execute(delete(tables.lease).where(mine))
        _ours.discard(self.token)
        self._guarded.guard = None


@dataclass(frozen=True)
class Holder:
    """Who has a lease."""

    role: str
    hostname: str
    pid: int
    acquired_at: float
    """Seconds since 1970, by the holder's clock."""
    is_gone: bool
    """The holder ran on this host, and its process is gone. False for one elsewhere, which can't be seen from here."""
    activity: Activity | None = None


def read_holders(engine: Engine, *, study: StudyRow, role: str = COORDINATOR) -> tuple[Holder, ...]:
    """Who holds leases of that role, the oldest first."""
    query = select(tables.lease).where(_holders(study, role)).order_by(tables.lease.c.acquired_at)
    with transactions.read(engine) as connection:
        rows = connection.execute(query).mappings().all()
    return tuple(as_holder(row) for row in rows)


def as_holder(row: RowMapping) -> Holder:
    """The holder that a lease's row names, and whether this process sees that it is gone."""
    return Holder(
        role=row["role"],
        hostname=row["hostname"],
        pid=row["pid"],
        acquired_at=row["acquired_at"],
        is_gone=is_here(row) and birth_of(row["pid"]) != row["birth"],
        activity=None if row["activity"] is None else _heard(row),
    )


def _told(activity: Activity | None) -> dict[str, object]:
    """The columns in which a lease tells what its holder does; empty ones if None."""
    return {
        "activity": activity.line if activity is not None else None,
        "activity_trial_seconds": activity.trial_seconds if activity is not None else None,
        "activity_ends_at": activity.ends_at if activity is not None else None,
    }


def _heard(row: RowMapping) -> Activity:
    """What the holder of a lease does, as its row tells."""
    return Activity(row["activity"], trial_seconds=row["activity_trial_seconds"], ends_at=row["activity_ends_at"])


def is_any_study_running(connection: Connection) -> bool:
    """Whether a coordinator that may be alive holds a study of this database; one on another host always may."""
    lease = tables.lease
    holders = connection.execute(
        select(lease.c.host, lease.c.pid, lease.c.birth).where(
            or_(lease.c.role == COORDINATOR, lease.c.role.like(f"{WORKER}%"))
        )
    )
    return any(host != this_host() or birth_of(pid) == birth for host, pid, birth in holders)


def check_holder(engine: Engine, *, study: StudyRow) -> None:
    """Raise StudyHeldError where a living process of this host runs the study; other hosts can't be checked at once."""
    with transactions.read(engine) as connection:
        holders = connection.execute(select(tables.lease).where(_holders(study, COORDINATOR))).mappings().all()
    for holder in holders:
        if is_here(holder) and birth_of(holder["pid"]) == holder["birth"]:
            raise StudyHeldError(describe_holder(study, holder))


class Watch:
    """What one observer has seen of a holder, on its own clock."""

    def __init__(self, stale_seconds: float) -> None:
        self._stale_seconds = stale_seconds
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def is_alive(self, holder: RowMapping) -> bool:
        """Whether the holder is known to live: its process is there, or its counter has moved since the first look."""
        if is_here(holder):
            return not _is_left_here(holder)
        return self._seen is not None and self._seen != (holder["token"], holder["counter"])

    def is_dead(self, holder: RowMapping) -> bool:
        """Look at the holder; whether its process is gone, or its counter has stood still for too long."""
        if is_here(holder):
            return _is_left_here(holder)
        if self._seen is None:
            self._seen = holder["token"], holder["counter"]
            self._since = time.monotonic()
        return not self.is_alive(holder) and time.monotonic() - self._since >= self._stale_seconds


def _is_left_here(holder: RowMapping) -> bool:
    """Whether a lease of this host has no holder: its process is gone, or it is this one and doesn't know the token.

    The second happens when the commit of a new lease was cut off.
    """
    is_unheard = holder["pid"] == os.getpid() and holder["token"] not in _ours
    return is_unheard or birth_of(holder["pid"]) != holder["birth"]


def lease_row(study: StudyRow, *, role: str, token: str) -> dict[str, object]:
    """The columns of a new lease that this process holds."""
    return {
        "study_id": study.id,
        "role": role,
        "token": token,
        "host": this_host(),
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "birth": birth_of(os.getpid()),
        "counter": 0,
        "acquired_at": time.time(),
    }


def _take(engine: Engine, *, study: StudyRow, role: str, dead: Sequence[RowMapping]) -> str | None:
    """The new lease's token; None when another process was quicker, or a holder that seemed dead moved its counter."""
    token = uuid.uuid4().hex
    try:
        with transactions.write(engine) as connection:
            lock_study(connection, study)
            for holder in dead:
                connection.execute(delete(tables.lease).where(is_as_seen(holder)))
            if connection.execute(select(tables.lease.c.token).where(_holders(study, role))).first() is not None:
                connection.rollback()
                return None
            connection.execute(insert(tables.lease).values(lease_row(study, role=role, token=token)))
            return token
    except IntegrityError:
        return None


def lock_study(connection: Connection, study: StudyRow) -> None:
    """Keep others from taking or joining the study until the transaction ends; on SQLite writers are alone anyway."""
    connection.execute(select(tables.study.c.id).where(tables.study.c.id == study.id).with_for_update(key_share=True))


def is_as_seen(holder: RowMapping) -> ColumnElement[bool]:
    """The condition that selects this lease as long as its holder has not moved the counter."""
    return and_(tables.lease.c.token == holder["token"], tables.lease.c.counter == holder["counter"])


def _holders(study: StudyRow, role: str) -> ColumnElement[bool]:
    """The condition that selects leases which must be gone before this role can be taken."""
    of_study: ColumnElement[bool] = tables.lease.c.study_id == study.id
    others = tables.lease.c.role.like(f"{WORKER}%") if role == COORDINATOR else false()
    return of_study & ((tables.lease.c.role == role) | others)


def _key(study: StudyRow, role: str) -> ColumnElement[bool]:
    """The condition that selects the study's lease of this role."""
    return (tables.lease.c.study_id == study.id) & (tables.lease.c.role == role)


def describe_holder(study: StudyRow, holder: RowMapping) -> str:
    """An error's message: who has the study, and since when by the holder's own clock."""
    since = dt.datetime.fromtimestamp(holder["acquired_at"]).astimezone().strftime("%H:%M")
    who = f"pid {holder['pid']} on {holder['hostname']} since {since}"
    rule = "it has coordinators" if holder["role"].startswith(WORKER) else f"one {holder['role']} at a time"
    return f"study {study.name}: {rule}, held by {who}; stop that one first, or wait for it"


def is_here(holder: RowMapping) -> bool:
    """Whether the holder is or was a process of this host, so that its process can be looked up."""
    return bool(holder["host"] == this_host())


def this_host() -> str:
    """A name for the space in which a pid means one process: this boot of this host, in this container."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        return f"{boot.read_text().strip()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{socket.gethostname()}/{uuid.getnode()}"


def birth_of(pid: int) -> str | None:
    """When the process was born; None when there is none, or it is a zombie.

    Linux tells in ticks since boot, which no change of the wall clock moves.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            return stat.read_text().rpartition(")")[2].split()[19]
        return f"{process.create_time():.0f}"
    except (psutil.Error, OSError):
        return None
