"""What a user asks of a start."""

from dataclasses import dataclass

from autotune.coordinator.paces import GRACE_SECONDS
from autotune.recording.places import Places
from autotune.spec.load import SpecFile


@dataclass(frozen=True)
class StartOrder:
    """What the user asked for, after the spec was read."""

    file: SpecFile
    """The spec with ``--set``, ``--trials``, ``--seconds``, ``--seed``, ``--sampler`` and ``--pruner`` applied."""
    name: str
    places: Places
    jobs: int = 1
    warm_start: str | None = None
    """Name of a study whose finished trials are taken over where they fit."""
    grace_seconds: float = GRACE_SECONDS
    """How long trials have to write their checkpoints after the first signal to stop."""
