"""``autotune study confirm``: a study confirmed by itself."""

from dataclasses import dataclass

from autotune.coordinator.observer import Observer
from autotune.coordinator.retraining.confirming import Confirmation, confirm
from autotune.coordinator.retraining.contenders import choose_contenders
from autotune.coordinator.retraining.reopening import Reopened, Reopening, reopen
from autotune.coordinator.workplace import Workplace
from autotune.errors import InputError
from autotune.goals import BASELINE_NUMBER, MEASUREMENTS
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.spec.model import Confirm


@dataclass(frozen=True, kw_only=True)
class ConfirmOrder(Reopening):
    """What the user asked for."""

    repeats: int
    """How often each contender is to be trained."""
    top: int = 1
    """How many of the best trials are confirmed."""
    against: int = BASELINE_NUMBER
    """Number of the trial that they are compared with."""
    target: float | None = None
    """Value of the objective that trainings are to reach; None leaves it to the spec, and to what all came to."""


def confirm_study(order: ConfirmOrder, *, observer: Observer) -> Reopened[Confirmation]:
    """Train what is missing of the confirmation; the same order goes on after any interruption.

    Raises:
        StudyNotFoundError: There is no such study.
        InputError: The target goes with no objective of this study.
        NotConfirmedError: There is nothing to compare.
        StudyHeldError: Another coordinator runs the study, or its confirmation.
    """

    def prepare(records: Records, study: StudyRow) -> Confirm:
        wanted, objective = _wanted(order, study=study), study.spec.objectives[0]
        choose_contenders(records.trials(study), confirm=wanted, objective=objective, study=study.name)
        return wanted

    def train(workplace: Workplace, study: StudyRow, wanted: Confirm) -> Confirmation:
        return confirm(workplace, study, wanted=wanted)

    return reopen(order, observer=observer, prepare=prepare, train=train)


def _wanted(order: ConfirmOrder, *, study: StudyRow) -> Confirm:
    """The order as a spec would say it; InputError where its target goes with no objective of this study."""
    objective = study.spec.objectives[0]
    if order.target is not None and (objective.target is not None or objective.metric in MEASUREMENTS):
        rule = f"goes with a study whose objective is a metric of the task, got {study.name}, which is to"
        raise InputError(f"--target: {rule} {objective.text}; leave it out")
    target = study.spec.confirm.target if order.target is None else order.target
    return Confirm(repeats=order.repeats, top=order.top, against=order.against, target=target)
