"""Trials that another program ran with Optuna, taken into a study for its sampler to learn from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autotune.coordinator.opening.planning import plan_of
from autotune.coordinator.opening.spec import resolved_space
from autotune.errors import InputError
from autotune.events import Finished, Scalar
from autotune.recording.database import normalise_url, open_database
from autotune.recording.drafts import NewTrial
from autotune.recording.engines import configure_engine
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.search.foreign import ForeignStudy, read_foreign_study
from autotune.search.plan import TrialHistory
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.model import StudySpec


@dataclass(frozen=True, kw_only=True)
class ImportOrder:
    """Which study takes over trials, and from which one."""

    storage: str
    name: str
    """Name of the study that learns."""
    source: str
    """Address of the storage that holds the other study."""
    source_study: str | None
    renamed: Mapping[str, str]
    """Parameter names: the other study's name to this study's name."""
    assumed: Mapping[str, Scalar]
    """Parameters that the other study's trials lack, with the values that they were trained with."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What was taken over; the fields are the keys of its JSON."""

    study: str
    source: str
    """The other study's name."""
    num_taken: int
    """Trials of the other study that this one has now, those of earlier imports included."""
    num_ended: int
    """Ended trials of the other study."""
    trials: Mapping[int, int]
    """The other study's trial number by this study's number."""


def import_study(order: ImportOrder) -> Imported:
    """Take over the trials that fit the study's space; called again, it takes over those that are new.

    They don't count against the study's budget, and none of them is its best trial: another program
    measured them. The study must have been started, so that its space is known, and run nowhere.

    Raises:
        InputError: The objectives' directions differ, or the study has no trial yet.
        StudyHeldError: The study runs now.
    """
    url = normalise_url(order.storage)
    records = Records(open_database(url, create=False))
    study = records.study(order.name)
    spec = study.spec
    foreign = read_foreign_study(order.source, name=order.source_study)
    _check(foreign, spec=spec, study=study, has_trials=bool(records.trials(study)))
    lease = StudyLease.acquire(records, study=study)
    try:
        plan = plan_of(spec, space=resolved_space(study), jobs=1)
        search = Search.open(order.name, storage=open_storage(url, configure_engine=configure_engine), plan=plan)
        histories = {history.number: _as_here(history, order=order) for history in foreign.histories}
        taken = search.import_trials(tuple(histories.values()), source=foreign.name)
        for number, there in taken.items():
            _record(records, study, number=number, history=histories[there], origin=f"{foreign.name}/{there}")
    finally:
        lease.release()
        records.engine.dispose()
    return Imported(
        study=study.name,
        source=foreign.name,
        num_taken=len(taken),
        num_ended=len(histories),
        trials=dict(taken),
    )


def _check(foreign: ForeignStudy, *, spec: StudySpec, study: StudyRow, has_trials: bool) -> None:
    wanted = tuple(objective.direction for objective in spec.objectives)
    if foreign.directions != wanted:
        shown = ", ".join(foreign.directions)
        raise InputError(f"study {foreign.name}: its objectives must go {', '.join(wanted)}, got {shown}")
    if not has_trials:
        raise InputError(f"study {study.name}: trial 0 must be its baseline, got no trial yet; start it first")


def _as_here(history: TrialHistory, *, order: ImportOrder) -> TrialHistory:
    named = {order.renamed.get(name, name): value for name, value in history.parameters.items()}
    return replace(history, parameters={**order.assumed, **named})


def _record(records: Records, study: StudyRow, *, number: int, history: TrialHistory, origin: str) -> None:
    assert history.outcome is not None, "an ended trial has an outcome"
    new = NewTrial(number=number, parameters=history.parameters, seed=0, origin=origin)
    records.take_over_trial(study, new=new, finished=Finished(outcome=history.outcome), values=history.values)
