"""Who is trained again to confirm a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.errors import RunError
from autotune.events import Outcome, Scalar
from autotune.goals import BASELINE_NUMBER
from autotune.recording.ranking import rank_configurations
from autotune.recording.rows import TrialRow
from autotune.spec.model import Confirm, Objective


class NotConfirmedError(RunError):
    """There is nothing to confirm, or no time for it."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A configuration that is trained several times."""

    number: int
    """The contender's number in its series: in a confirmation, that of the trial in the search."""
    name: str
    """Such as ``the baseline`` or ``trial 6``."""
    parameters: Mapping[str, Scalar]
    is_baseline: bool
    seconds: float
    """About how long one training takes."""


@dataclass(frozen=True)
class Contenders:
    """The trials that are trained again to confirm a study."""

    reference: TrialRow
    """What the winners are compared with."""
    winners: tuple[TrialRow, ...]
    """The best of the search, the very best before the others."""

    @property
    def all(self) -> tuple[TrialRow, ...]:
        """All trials, in the order of a round: the reference first."""
        return (self.reference, *self.winners)

    @property
    def words(self) -> str:
        """Such as ``trial 17 against the baseline``."""
        winners = ", ".join(str(row.number) for row in self.winners)
        reference = "the baseline" if self.reference.is_baseline else f"trial {self.reference.number}"
        return f"trial{'s' if len(self.winners) > 1 else ''} {winners} against {reference}"


def is_comparable(outcome: Outcome | None, *, is_baseline: bool) -> bool:
    """Whether others can be compared with a trial that ended so.

    No pruner stops the baseline: one that is pruned was trained without coming to the target, or until the
    budget was used up, and its trainings on fresh seeds have all the time that they need.
    """
    return outcome is Outcome.COMPLETE or (is_baseline and outcome is Outcome.PRUNED)


def choose_contenders(rows: Sequence[TrialRow], *, confirm: Confirm, objective: Objective, study: str) -> Contenders:
    """The best of a study's trials, and the trial that they are compared with.

    Raises:
        NotConfirmedError: There is nothing to compare: one of the two sides has no complete trial, or the
            baseline itself is the best one.
    """
    where = f"study {study}: the winner is not confirmed"
    ranked = rank_configurations(rows, objective=objective)
    reference = next((row for row in rows if row.number == confirm.against and row.origin is None), None)
    if reference is None or not is_comparable(reference.outcome, is_baseline=reference.is_baseline):
        what = "the baseline" if confirm.against == BASELINE_NUMBER else f"trial {confirm.against}"
        state = "no such trial" if reference is None else f"{reference.outcome or reference.status}"
        rule = f"{what} must be complete to be compared with"
        remedy = f"`autotune study confirm {study} --against N` compares with another trial"
        raise NotConfirmedError(f"{where}: {rule}, got {state}; {remedy}")
    others = [row for row in ranked if row.parameters != reference.parameters]
    if not others:
        what = "the baseline" if reference.is_baseline else f"trial {reference.number}"
        raise NotConfirmedError(
            f"{where}: a trial with other parameters than {what} must be complete, got none; let the study run on"
        )
    if ranked[0].parameters == reference.parameters and reference.is_baseline:
        raise NotConfirmedError(
            f"study {study}: the baseline itself is the best trial, so there is nothing to confirm; keep it"
        )
    return Contenders(reference, tuple(others[: confirm.top]))
