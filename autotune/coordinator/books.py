"""A study's books: all in which it is written down."""

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
    """Where a study is written down."""

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
    """Several trials run at once."""
    crew: Crew | None = None
    """The others that run the study, where several may."""

    def race_right(self, machine: Machine) -> AbstractContextManager[bool]:
        """Whether a race may be run now: one at a time on machines of one kind, and with nobody else on this one."""
        if self.crew is None:
            return nullcontext(enter_result=True)
        return self.crew.race_right(machine.hardware_fingerprint)
