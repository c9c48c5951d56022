"""From a study spec to a finished study: the one way in for ``study start`` and ``study resume``."""

from dataclasses import dataclass

from autotune.spec.load import SpecFile


@dataclass(frozen=True)
class StartOrder:
    """What the user asked for, after the spec was read."""

    file: SpecFile
    """The spec with every ``--set``, ``--trials``, ``--seconds``, ``--seed``, ``--sampler`` and ``--pruner`` applied."""
    name: str
    storage: str
    tracking_uri: str
    jobs: int = 1
    warm_start: str | None = None
    """Name of a study whose finished trials are taken over where they fit."""


@dataclass(frozen=True)
class StudyResult:
    """How a start ended."""

    name: str
    is_complete: bool
    """The budget is used up, or the space is exhausted."""
    is_interrupted: bool
    """Ctrl-C or SIGTERM; the same command goes on."""
    num_unpublished: int
    """Rows that MLflow has not got yet; the next start delivers them."""
