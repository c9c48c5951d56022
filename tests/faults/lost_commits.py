"""A study on PostgreSQL whose n-th commit is cut off, before or after the server has done it, for every n."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import optuna
import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Engine, event

from autotune.events import Outcome
from autotune.outages import waiting_out
from autotune.recording.database import normalise_url, open_database
from autotune.recording.engines import configure_engine
from autotune.recording.records import Records
from autotune.search.storage import open_storage
from autotune.spec.load import load_spec
from benchmarks.simulated import SimulatedTrials, simulated_session
from tests.machines import machine

Moment: TypeAlias = Literal["before", "after"]
"""Of the server's commit, at which its connection is lost."""
MOMENTS: tuple[Moment, ...] = ("before", "after")
NUM_TRIALS, NUM_EPOCHS = 3, 2
SPEC = f"""
task: package.module:Task
objective: {{metric: val_accuracy, direction: maximize}}
budget: {{trials: {NUM_TRIALS}, epochs: {NUM_EPOCHS}}}
sampler: random
pruner: none
learning: {{lr: {{low: 1e-5, high: 1, log: true}}, width: {{low: 8, high: 64}}}}
speed_search: fixed
baseline: {{lr: 1e-3, width: 16}}
"""


@dataclass(eq=False)
class CutOff:
    """Loses the connection of one commit."""

    url: str
    moment: Moment
    place: int
    """So many commits come before it."""
    has_come: bool = False

    def __call__(self, connection: Connection) -> None:
        """Whenever a transaction is about to be committed."""
        self.place -= 1
        if self.place >= 0 or self.has_come:
            return
        self.has_come = True
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        if self.moment == "after":
            driver.commit()
            driver.execute("SELECT 1")  # begins another transaction, so that the commit to come is sent, and fails
        with psycopg.connect(self.url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (driver.info.backend_pid,))

    @contextmanager
    def armed(self) -> Iterator["CutOff"]:
        """For every engine of this process."""
        event.listen(Engine, "commit", self)
        try:
            yield self
        finally:
            event.remove(Engine, "commit", self)


def cut_off(url: str, *, moment: Moment, place: int, folder: Path) -> tuple[bool, list[str]]:
    """Whether the study came to that commit, and what was not as promised; ``url`` is an empty database."""
    path = folder / "study.yaml"
    path.write_text(SPEC)
    trials = SimulatedTrials()
    told: list[str] = []
    with (
        simulated_session(load_spec(str(path)), storage=url, machine=machine(), trials=trials) as session,
        waiting_out(told.append),
        CutOff(url, moment, place).armed() as fault,
    ):
        is_complete = session.run()
    violations = [*_compare(url), *(f"told {line}" for line in told)]
    launched = [order.number for order in trials.orders]
    if not is_complete or launched != list(range(NUM_TRIALS)):
        violations.append(f"complete: {is_complete}, launched {launched}")
    return fault.has_come, [f"{moment} commit {place}: {violation}" for violation in violations]


def _compare(url: str) -> Iterator[str]:
    """What our tables and Optuna's hold in place of a whole study."""
    records = Records(open_database(url, create=False))
    study = records.study("study")
    rows = records.trials(study)
    if [(row.number, row.outcome, row.restarts) for row in rows] != [
        (number, Outcome.COMPLETE, 0) for number in range(NUM_TRIALS)
    ]:
        yield f"trials {rows}"
    epochs = [[recorded.report.epoch for recorded in records.reports(row)] for row in rows]
    if epochs != [list(range(1, NUM_EPOCHS + 1))] * NUM_TRIALS:
        yield f"epochs {epochs}"
    records.engine.dispose()
    storage = open_storage(normalise_url(url), configure_engine=configure_engine)
    found = [
        (trial.number, trial.state.name, sorted(trial.intermediate_values))
        for trial in optuna.load_study(study_name="study", storage=storage).trials
    ]
    storage.engine.dispose()
    if found != [(number, "COMPLETE", list(range(1, NUM_EPOCHS + 1))) for number in range(NUM_TRIALS)]:
        yield f"Optuna's trials {found}"


def cut_off_everywhere(server: str, *, moment: Moment, first: int = 0, step: int = 1) -> tuple[int, list[str]]:
    """Places ``first``, ``first + step`` and so on, until there is no such commit; how many, and all violations."""
    num_places, violations = 0, list[str]()
    with tempfile.TemporaryDirectory() as folder:
        place, has_come = first, True
        while has_come:
            with _database(server) as url:
                has_come, found = cut_off(url, moment=moment, place=place, folder=Path(folder))
            num_places += has_come
            violations += found
            place += step
    return num_places, violations


@contextmanager
def _database(server: str) -> Iterator[str]:
    name = Identifier("lost_commits")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(name))
        try:
            yield server.replace("/postgres?", "/lost_commits?")
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))
