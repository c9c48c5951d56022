"""``autotune study confirm``: a study whose search is over, or was stopped, confirmed by itself."""

from contextlib import ExitStack
from dataclasses import dataclass

from autotune.coordinator.confirming import Confirmation, confirm
from autotune.coordinator.contenders import choose_contenders
from autotune.coordinator.cut_off import cutting_off
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import Observer
from autotune.coordinator.retraining import Arena
from autotune.coordinator.session import GRACE_SECONDS
from autotune.errors import InputError
from autotune.goals import MEASUREMENTS
from autotune.hardware import describe_machine
from autotune.recording.database import normalise_url, open_database
from autotune.recording.lease import StudyLease
from autotune.recording.publisher import Publisher
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.spec.model import Confirm, StudySpec
from autotune.trial.launcher import Launcher

_PUBLISH_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class ConfirmOrder:
    """What the user asked for."""

    name: str
    storage: str
    tracking_uri: str
    repeats: int
    top: int = 1
    against: int = 0
    target: float | None = None
    """None leaves it to the spec, and to the reference's mean."""
    grace_seconds: float = GRACE_SECONDS


def confirm_study(order: ConfirmOrder, *, observer: Observer) -> Confirmation:
    """Train what is missing of the confirmation; the same order goes on after any interruption.

    Raises:
        StudyNotFoundError: There is no such study.
        InputError: The target goes with no objective of this study.
        NotConfirmedError: There is nothing to compare.
        StudyHeldError: Another coordinator runs the study, or its confirmation.
    """
    storage = normalise_url(order.storage)
    with Interrupts() as interrupts, ExitStack() as stack:
        records = Records(open_database(storage, create=False))
        stack.callback(records.engine.dispose)
        study = records.study(order.name)
        spec = StudySpec.model_validate_json(study.spec_json)
        wanted = _wanted(order, study=study, spec=spec)
        # Before torch is imported: what would be refused is said at once.
        choose_contenders(records.trials(study), confirm=wanted, objective=spec.objectives[0], study=study.name)
        lease = StudyLease.acquire(records, study=study)
        stack.callback(lease.release)
        launcher = stack.enter_context(Launcher.start(spec.task))
        interrupts.wake_with(launcher.wake)
        stack.enter_context(cutting_off())
        arena = Arena(
            storage=storage,
            tracking_uri=order.tracking_uri,
            launcher=launcher,
            machine=describe_machine(launcher.facts),
            observer=observer,
            interrupts=interrupts,
            on_beat=lease.beat,
            grace_seconds=order.grace_seconds,
        )
        ended = confirm(arena, study, wanted=wanted)
        launcher.close()
        interrupts.let_raise()
        records.touch_study(study)
        publisher = Publisher(storage, study=study.name, tracking_uri=order.tracking_uri)
        publisher.start()
        publisher.close(timeout=_PUBLISH_SECONDS)
        return ended


def _wanted(order: ConfirmOrder, *, study: StudyRow, spec: StudySpec) -> Confirm:
    objective = spec.objectives[0]
    if order.target is not None and (objective.target is not None or objective.metric in MEASUREMENTS):
        rule = f"goes with a study whose objective is a metric of the task, got {study.name}, which is to"
        raise InputError(f"--target: {rule} {objective.text}; leave it out")
    target = spec.confirm.target if order.target is None else order.target
    return Confirm(repeats=order.repeats, top=order.top, against=order.against, target=target)
