"""Trials that another program ran with Optuna, taken into a study for its sampler to learn from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Self

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
from autotune.search.plan import SearchPlan, TrialHistory
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.model import StudySpec
from autotune.spec.names import nearest


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
    lacking: tuple[str, ...]
    """Parameters of this study that trials lack which it has not taken."""
    unknown: tuple[str, ...]
    """Parameters that such trials have, and this study has not."""


def import_study(order: ImportOrder) -> Imported:
    """Take over the trials that fit the study's space; called again, it takes over those that are new.

    They don't count against the study's budget, and none of them is its best trial: another program
    measured them. The study must have been started, so that its space is known, and run nowhere.

    Raises:
        InputError: The objectives' directions differ, the study has no trial yet, or a name is given that no
            parameter has.
        StudyHeldError: The study runs now.
    """
    url = normalise_url(order.storage)
    records = Records(open_database(url, create=False))
    study = records.study(order.name)
    spec = study.spec
    foreign = read_foreign_study(order.source, name=order.source_study)
    _check(foreign, spec=spec, study=study, has_trials=bool(records.trials(study)))
    plan = plan_of(spec, space=resolved_space(study), jobs=1)
    names = _Names.of(plan)
    names.check(order, foreign=foreign)
    lease = StudyLease.acquire(records, study=study)
    try:
        search = Search.open(order.name, storage=open_storage(url, configure_engine=configure_engine), plan=plan)
        histories = {history.number: _as_here(history, order=order) for history in foreign.histories}
        taken = search.import_trials(tuple(histories.values()), source=foreign.name)
        for number, there in taken.items():
            _record(records, study, number=number, history=histories[there], origin=f"{foreign.name}/{there}")
    finally:
        lease.release()
        records.engine.dispose()
    left = [history for number, history in histories.items() if number not in taken.values()]
    return Imported(
        study=study.name,
        source=foreign.name,
        num_taken=len(taken),
        num_ended=len(histories),
        trials=dict(taken),
        lacking=names.lacking(left),
        unknown=names.unknown(left),
    )


@dataclass(frozen=True)
class _Names:
    """The parameters of the study that takes trials over, by their names."""

    needed: tuple[str, ...]
    """Those that every trial has."""
    known: frozenset[str]
    """All of them."""

    @classmethod
    def of(cls, plan: SearchPlan) -> Self:
        """Those of the plan's space, and those that races decide."""
        space = plan.space
        always = (parameter.name for parameter in space.parameters if not parameter.conditions)
        known = {parameter.name for parameter in space.parameters} | space.fixed.keys() | plan.elsewhere
        return cls((*always, *space.fixed), frozenset(known))

    def check(self, order: ImportOrder, *, foreign: ForeignStudy) -> None:
        """Raise InputError for a name that neither study has: all trials would be left out, with no word on it."""
        theirs = {name for history in foreign.histories for name in history.parameters}
        for name in order.renamed if theirs else ():
            _check_name(name, known=theirs, study=foreign.name, option=f"--rename {name}={order.renamed[name]}")
        for name, ours in order.renamed.items():
            _check_name(ours, known=self.known, study=order.name, option=f"--rename {name}={ours}")
        for name in order.assumed:
            _check_name(name, known=self.known, study=order.name, option=f"--assume {name}")

    def lacking(self, left: Collection[TrialHistory]) -> tuple[str, ...]:
        """What some of these trials lack."""
        return tuple(name for name in self.needed if any(name not in history.parameters for history in left))

    def unknown(self, left: Collection[TrialHistory]) -> tuple[str, ...]:
        """What some of these trials have beside the study's own parameters."""
        return tuple(sorted({name for history in left for name in history.parameters} - self.known))


def _check_name(name: str, *, known: Collection[str], study: str, option: str) -> None:
    if name not in known:
        near = nearest(name, known)
        remedy = f"did you mean {near}?" if near else f"it has {', '.join(sorted(known))}"
        raise InputError(f"{option}: must name a parameter of study {study}, got {name}; {remedy}")


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
