"""A study's books: everything that holds its records, from the database to MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from autotune.coordinator.company import Company
from autotune.hardware import Machine
from autotune.recording.crew import Crew
from autotune.recording.files import StudyFiles
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.search.study import Search
from autotune.spec.model import StudySpec


@dataclass(frozen=True)
class Books:
    """One study's rows, Optuna study, MLflow publisher and files, with the lease to write to them."""

    study: StudyRow
    spec: StudySpec
    records: Records
    search: Search
    publisher: Publisher
    files: StudyFiles
    lease: StudyLease
    environment_id: int
    git_commit: str | None
    is_contended: bool = False
    """Several trials run at once, so their throughputs are not comparable."""
    crew: Crew | None = None
    """The study's coordinators, this one included; None where a study has one alone (SQLite)."""
    company: Company = field(default_factory=Company)
    """Other programs that may train on the study's devices."""

    @contextmanager
    def race_right(self, machine: Machine) -> Iterator[bool]:
        """Whether a race may be run now: with no other program on the device, and in the study one at a time.

        The study's machines of other kinds race their own.
        """
        with self.company.race_right() as is_alone:
            if self.crew is None or not is_alone:
                yield is_alone
                return
            with self.crew.race_right(machine.hardware_fingerprint) as has_right:
                yield has_right
