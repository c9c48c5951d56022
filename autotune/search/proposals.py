"""What a search hands out to be run."""

from collections.abc import Mapping
from dataclasses import dataclass

from autotune.events import Scalar


@dataclass(frozen=True)
class Proposal:
    """A trial that should run; it is in Optuna's tables already, in the state RUNNING."""

    number: int
    """The same number everywhere: Optuna, our tables, MLflow, the trial's folder."""
    optuna_id: int
    parameters: Mapping[str, Scalar]
    """Active parameters and the space's fixed ones; what is absent keeps torch's default."""


@dataclass(frozen=True)
class RunningTrial:
    """A trial that is RUNNING in Optuna's tables: it runs, or it waits to be adopted."""

    number: int
    optuna_id: int
