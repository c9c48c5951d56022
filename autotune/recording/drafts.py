"""New studies and trials, and the rows that they begin as."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.recording.rows import StudyState, TrialStatus, write_json


@dataclass(frozen=True, kw_only=True)
class NewStudy:
    """The facts that a new study is recorded with."""

    name: str
    task: str
    task_digest: str | None = None
    """Digest of the task's source; None where that is not known."""
    spec_text: str
    spec_json: str
    resolved_json: str = "{}"
    seed: int

    def first_row(self) -> dict[str, object]:
        """The columns of the study's row before anything ran."""
        return {
            "uid": uuid.uuid4().hex,
            "name": self.name,
            "task": self.task,
            "task_digest": self.task_digest,
            "spec_text": self.spec_text,
            "spec_json": self.spec_json,
            "resolved_json": self.resolved_json,
            "seed": self.seed,
            "state": StudyState.OPEN,
            "created_at": time.time(),
            "elapsed_seconds": 0.0,
            "version": 1,
            "published_version": 0,
        }


@dataclass(frozen=True, kw_only=True)
class NewTrial:
    """The facts that a new trial is recorded with, before it starts."""

    number: int
    parameters: Mapping[str, Scalar]
    seed: int
    optuna_id: int | None = None
    is_baseline: bool = False
    origin: str | None = None
    is_contended: bool = False

    def first_row(self) -> dict[str, object]:
        """The columns of the trial's row before it starts, without its study's id."""
        return {
            "number": self.number,
            "optuna_id": self.optuna_id,
            "parameters": write_json(self.parameters),
            "origin": self.origin,
            "is_baseline": self.is_baseline,
            "is_contended": self.is_contended,
            "seed": self.seed,
            "status": TrialStatus.QUEUED,
            "in_force": "{}",
            "restarts": 0,
            "created_at": time.time(),
            "unread_parameters": "[]",
            "version": 1,
            "published_version": 0,
        }
