"""A study's search: what to try next, what to stop, what was learned; kept in Optuna's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from autotune.events import Outcome, Scalar
from autotune.search.plan import SearchPlan, TrialHistory

if TYPE_CHECKING:
    from optuna.storages import RDBStorage


@dataclass(frozen=True)
class Proposal:
    """A trial that should run: it is in Optuna's tables already, in the state RUNNING."""

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


class Search:
    """One study's sampler, pruner and Optuna rows, driven by whoever runs the trials."""

    @classmethod
    def create(cls, name: str, *, storage: "RDBStorage", plan: SearchPlan) -> Self:
        """A new Optuna study; raises StorageError when one of this name is there."""
        raise NotImplementedError

    @classmethod
    def open(cls, name: str, *, storage: "RDBStorage", plan: SearchPlan) -> Self:
        """The Optuna study of this name; raises StudyNotFoundError when there is none."""
        raise NotImplementedError

    @property
    def study_id(self) -> int:
        """Optuna's id of the study, which the dashboard's addresses hold."""
        raise NotImplementedError

    def ask(self) -> Proposal | None:
        """The next trial; None when every combination of a grid has been proposed.

        Trial 0 is the baseline, with exactly the baseline's parameters.
        """
        raise NotImplementedError

    def running(self) -> tuple[RunningTrial, ...]:
        """Trials in the state RUNNING, by number."""
        raise NotImplementedError

    def adopt(self, optuna_id: int) -> Proposal:
        """A RUNNING trial again, with the same parameters; completes an ask that was cut off."""
        raise NotImplementedError

    def report(self, number: int, *, epoch: int, value: float) -> None:
        """The first objective's metric after an epoch; a repeated report changes nothing."""
        raise NotImplementedError

    def should_prune(self, number: int) -> bool:
        """The pruner's answer to what was reported so far; never true for the baseline."""
        raise NotImplementedError

    def tell(
        self, number: int, *, outcome: Outcome, values: Sequence[float] | None = None, reason: str | None = None
    ) -> None:
        """The trial has ended; telling it again changes nothing."""
        raise NotImplementedError

    def set_attributes(self, number: int, *, attributes: Mapping[str, Scalar]) -> None:
        """User attributes of a RUNNING trial, as the dashboard shows them."""
        raise NotImplementedError

    def import_trials(self, histories: Sequence[TrialHistory], *, source: str) -> tuple[int, ...]:
        """Ended trials of the study ``source`` that fit this space, for the sampler to learn from.

        Call after the baseline was asked. Returns their numbers here; they carry the user
        attribute ``origin`` and are no trials of this study's budget.
        """
        raise NotImplementedError

    def reconcile(self, histories: Sequence[TrialHistory]) -> None:
        """After a restart: reports and endings that our tables have and Optuna's lack are told."""
        raise NotImplementedError


def delete_search(name: str, *, storage: "RDBStorage") -> None:
    """Removes the Optuna study; there being none is no error."""
    raise NotImplementedError
