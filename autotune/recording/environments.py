"""The machines that trials ran on, each with its software: one row for the same facts."""

import hashlib
from collections.abc import Mapping

from sqlalchemy import Engine, select

from autotune.hardware import Machine
from autotune.outages import repeatable
from autotune.recording import tables, transactions
from autotune.recording.rows import Environment, read_environment
from autotune.recording.transactions import Guard


@repeatable
class EnvironmentRecords:
    """Environments of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, machine: Machine, *, guard: Guard | None = None) -> int:
        """Record this machine with its software, unless it is recorded already; returns the row's id."""
        text = machine.model_dump_json()
        digest = hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
        row: dict[str, object] = {
            "digest": digest,
            "hardware_fingerprint": machine.hardware_fingerprint,
            "software_fingerprint": machine.software_fingerprint,
            "machine": text,
        }
        with transactions.write(self._engine, guard=guard) as connection:
            transactions.insert_or_ignore(connection, tables.environment, row)
            query = select(tables.environment.c.id).where(tables.environment.c.digest == digest)
            return int(connection.execute(query).scalar_one())

    def alike(self, environment_id: int) -> frozenset[int]:
        """The ids of all environments with the same hardware and software, this one included; host names may differ."""
        same = tables.environment.c
        with transactions.read(self._engine) as connection:
            here = select(same.hardware_fingerprint, same.software_fingerprint).where(same.id == environment_id)
            hardware, software = connection.execute(here).one()
            query = select(same.id).where(same.hardware_fingerprint == hardware, same.software_fingerprint == software)
            return frozenset(connection.execute(query).scalars())

    def all(self) -> Mapping[int, Environment]:
        """All of them, by id."""
        with transactions.read(self._engine) as connection:
            rows = connection.execute(select(tables.environment)).mappings()
            return {row["id"]: read_environment(row) for row in rows}
