"""A study whose search is over, or was stopped, opened once more to train some of its trials again."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from autotune.coordinator.company import joined
from autotune.coordinator.cut_off import cutting_off
from autotune.coordinator.delivering import deliver_last
from autotune.coordinator.interrupts import Interrupts
from autotune.coordinator.observer import Observer
from autotune.coordinator.opening.relocating import relocate
from autotune.coordinator.paces import GRACE_SECONDS
from autotune.coordinator.workplace import Workplace
from autotune.events import Scalar
from autotune.hardware import describe_machine
from autotune.outages import waiting_out
from autotune.recording.database import normalise_url, open_database
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.mlflow.store import check_uri
from autotune.recording.places import Places
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.spec.secret_parameters import check_secrets
from autotune.trial.launcher import Launcher

Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Reopening:
    """Which study is to be opened once more, and where it is."""

    name: str
    places: Places
    grace_seconds: float = GRACE_SECONDS
    secrets: Mapping[str, Scalar] = field(default_factory=dict, repr=False)
    """Values of the spec's parameters that are secrets, which are stored nowhere."""


@dataclass(frozen=True)
class Reopened(Generic[Result]):
    """How it ended."""

    result: Result
    is_interrupted: bool
    """Ctrl-C or SIGTERM came, if only while MLflow was waited for."""


def reopen(
    order: Reopening,
    *,
    observer: Observer,
    prepare: Callable[[Records, StudyRow], Prepared],
    train: Callable[[Workplace, StudyRow, Prepared], Result],
) -> Reopened[Result]:
    """What ``train`` returns, given what ``prepare`` found; that runs before torch is imported, to refuse at once.

    Nothing is left that must be finished once it is trained: a signal ends the waiting for MLflow, of which one line
    tells.

    Raises:
        StudyNotFoundError: There is no such study.
        InputError: A secret is missing, or the tracking URI is none that MLflow knows.
        SpecChangedError: The study's task is gone.
        StudyHeldError: Another coordinator runs the study, or what is trained again of it.
    """
    places = replace(order.places, storage=normalise_url(order.places.storage))
    check_uri(places.tracking_uri)
    with (
        Interrupts() as interrupts,
        ExitStack() as stack,
        waiting_out(observer.note, should_give_up=lambda: interrupts.should_stop_at_once),
    ):
        records = Records(open_database(places.storage, create=False))
        stack.callback(records.engine.dispose)
        study = relocate(records.study(order.name), storage=places.storage)
        spec = study.spec
        remedy = "name the spec file that has it: --spec FILE"
        check_secrets(spec, study=study.name, secrets=order.secrets, remedy=remedy)
        prepared = prepare(records, study)
        lease = StudyLease.acquire(records, study=study)
        stack.callback(lease.release)
        launcher = stack.enter_context(Launcher.start(spec.task, secrets=order.secrets, tell=observer.note))
        interrupts.wake_with(launcher.wake)
        stack.enter_context(cutting_off())
        company = stack.enter_context(
            joined(
                spec.device,
                facts=launcher.facts,
                who=f"study {study.name}",
                meaning="times are disturbed",
                tell=observer.note,
                should_give_up=lambda: interrupts.should_stop,
            )
        )
        workplace = Workplace(
            places=places,
            launcher=launcher,
            machine=describe_machine(launcher.facts).seen_from(spec.device),
            company=company,
            observer=observer,
            interrupts=interrupts,
            on_beat=lease.beat,
            grace_seconds=order.grace_seconds,
        )
        result = train(workplace, study, prepared)
        launcher.close()
        records.touch_study(study)
        publisher = Publisher(places.storage, study=study.name, tracking_uri=places.tracking_uri)
        publisher.start()
        remedy = f"`autotune study sync {study.name}` delivers them"
        deliver_last(publisher, interrupts=interrupts, note=observer.note, remedy=remedy)
        return Reopened(result, is_interrupted=interrupts.should_stop)
