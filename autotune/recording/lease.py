"""One holder of a study at a time: a row with a token, and a counter that the holder keeps moving."""

import datetime as dt
import os
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import psutil
from sqlalchemy import ColumnElement, Connection, Engine, RowMapping, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from autotune.errors import LeaseLostError, StudyHeldError
from autotune.recording import tables, transactions
from autotune.recording.rows import StudyRow
from autotune.recording.transactions import Guard

Role: TypeAlias = Literal["coordinator", "publisher"]
"""What is held: running the study, or delivering it to MLflow."""

STALE_SECONDS = 30.0
"""Beat at least three times as often."""

_POLL_SECONDS = 0.25


class Guarded(Protocol):
    """Whoever writes to a database and can be told what must hold meanwhile."""

    engine: Engine
    guard: Guard | None


class StudyLease:
    """The right to run a study, or to deliver it."""

    def __init__(self, guarded: Guarded, *, study: StudyRow, role: Role, token: str) -> None:
        self._guarded = guarded
        self._study = study
        self._role = role
        self.token = token

    @classmethod
    def acquire(
        cls,
        guarded: Guarded,
        *,
        study: StudyRow,
        role: Role = "coordinator",
        stale_seconds: float = STALE_SECONDS,
    ) -> "StudyLease":
        """Take the lease; from then on each write of ``guarded`` checks that it is still ours.

        A holder on this host whose process is gone is taken over at once. One on another host is
        dead when its counter stands still for ``stale_seconds`` of this process's monotonic clock:
        wall clocks of two machines are never compared.

        Raises:
            StudyHeldError: Somebody else holds it and lives.
        """
        watch = _Watch(stale_seconds)
        while True:
            with transactions.read(guarded.engine) as connection:
                holder = connection.execute(select(tables.lease).where(_key(study, role))).mappings().one_or_none()
            if holder is not None and not watch.is_dead(holder):
                if watch.is_alive(holder):
                    raise StudyHeldError(_held(study, holder))
                time.sleep(_POLL_SECONDS)
                continue
            token = _take(guarded.engine, study=study, role=role, holder=holder)
            if token is not None:
                guarded.guard = Guard(study_id=study.id, role=role, token=token)
                return cls(guarded, study=study, role=role, token=token)

    def beat(self) -> None:
        """Move the counter; raises LeaseLostError when the lease is another's now."""
        mine = _key(self._study, self._role) & (tables.lease.c.token == self.token)
        with transactions.write(self._guarded.engine) as connection:
            moved = connection.execute(update(tables.lease).where(mine).values(counter=tables.lease.c.counter + 1))
            if moved.rowcount != 1:
                rule = f"one {self._role} at a time, another one has taken it over"
                raise LeaseLostError(f"study {self._study.name}: {rule}; start it again")

    def release(self) -> None:
        """Give the lease back; nothing happens when it is another's."""
        mine = _key(self._study, self._role) & (tables.lease.c.token == self.token)
        with transactions.write(self._guarded.engine) as connection:
            connection.execute(delete(tables.lease).where(mine))
        self._guarded.guard = None


@dataclass(frozen=True)
class Holder:
    """Who has a lease."""

    role: Role
    hostname: str
    pid: int
    acquired_at: float
    """Seconds since 1970, by the holder's clock."""
    is_gone: bool
    """It ran on this host, and its process is gone; of a holder elsewhere nobody here can tell."""


def read_holders(engine: Engine, *, study: StudyRow, role: Role = "coordinator") -> tuple[Holder, ...]:
    """Who holds leases of that role, the oldest first."""
    query = select(tables.lease).where(_key(study, role)).order_by(tables.lease.c.acquired_at)
    with transactions.read(engine) as connection:
        rows = connection.execute(query).mappings().all()
    return tuple(
        Holder(
            role=role,
            hostname=row["hostname"],
            pid=row["pid"],
            acquired_at=row["acquired_at"],
            is_gone=row["host"] == _host() and _birth(row["pid"]) != row["birth"],
        )
        for row in rows
    )


def is_any_study_running(connection: Connection) -> bool:
    """Whether a coordinator holds a study of this database and may live; one on another host may."""
    lease = tables.lease
    holders = connection.execute(select(lease.c.host, lease.c.pid, lease.c.birth).where(lease.c.role == "coordinator"))
    return any(host != _host() or _birth(pid) == birth for host, pid, birth in holders)


def check_holder(engine: Engine, *, study: StudyRow) -> None:
    """Raise StudyHeldError where a process of this host runs the study; of others nothing can be said at once."""
    with transactions.read(engine) as connection:
        holder = connection.execute(select(tables.lease).where(_key(study, "coordinator"))).mappings().one_or_none()
    if holder is not None and holder["host"] == _host() and _birth(holder["pid"]) == holder["birth"]:
        raise StudyHeldError(_held(study, holder))


class _Watch:
    """What one observer has seen of a holder, on its own clock."""

    def __init__(self, stale_seconds: float) -> None:
        self._stale_seconds = stale_seconds
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def is_alive(self, holder: RowMapping) -> bool:
        if holder["host"] == _host():
            return bool(_birth(holder["pid"]) == holder["birth"])
        return self._seen is not None and self._seen != (holder["token"], holder["counter"])

    def is_dead(self, holder: RowMapping) -> bool:
        if holder["host"] == _host():
            return bool(_birth(holder["pid"]) != holder["birth"])
        if self._seen is None:
            self._seen = holder["token"], holder["counter"]
            self._since = time.monotonic()
        return not self.is_alive(holder) and time.monotonic() - self._since >= self._stale_seconds


def _take(engine: Engine, *, study: StudyRow, role: Role, holder: RowMapping | None) -> str | None:
    """The new token; None when somebody else was quicker."""
    token = uuid.uuid4().hex
    row: dict[str, object] = {
        "study_id": study.id,
        "role": role,
        "token": token,
        "host": _host(),
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "birth": _birth(os.getpid()),
        "counter": 0,
        "acquired_at": time.time(),
    }
    try:
        with transactions.write(engine) as connection:
            if holder is None:
                connection.execute(insert(tables.lease).values(row))
                return token
            seen = (tables.lease.c.token == holder["token"]) & (tables.lease.c.counter == holder["counter"])
            taken = connection.execute(update(tables.lease).where(_key(study, role) & seen).values(row))
            return token if taken.rowcount == 1 else None
    except IntegrityError:
        return None


def _key(study: StudyRow, role: Role) -> ColumnElement[bool]:
    return (tables.lease.c.study_id == study.id) & (tables.lease.c.role == role)


def _held(study: StudyRow, holder: RowMapping) -> str:
    since = dt.datetime.fromtimestamp(holder["acquired_at"]).astimezone().strftime("%H:%M")
    who = f"pid {holder['pid']} on {holder['hostname']} since {since}"
    return f"study {study.name}: one {holder['role']} at a time, held by {who}; stop that one first, or wait for it"


def _host() -> str:
    """Names the space in which a pid is one process: this boot of this host, and its container."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        return f"{boot.read_text().strip()}/{Path('/proc/self/ns/pid').stat().st_ino}"
    return f"{socket.gethostname()}/{uuid.getnode()}"


def _birth(pid: int) -> str | None:
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
