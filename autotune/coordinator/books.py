"""A study's books: everything that holds its records, from the database to MLflow."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

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

    def race_right(self, machine: Machine) -> AbstractContextManager[bool]:
        """Whether a race may be run now: one at a time on machines of one kind, and with nobody else on this one."""
        if self.crew is None:
            return nullcontext(enter_result=True)
        return self.crew.race_right(machine.hardware_fingerprint)
