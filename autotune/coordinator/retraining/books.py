"""The study that repeated trainings are written into: found or made, without anything to search."""

from contextlib import ExitStack

from pydantic import TypeAdapter

from autotune.coordinator.books import Books
from autotune.coordinator.opening.provenance import git_commit
from autotune.coordinator.retraining.ledger import Series
from autotune.hardware import Machine
from autotune.recording.database import configure_engine, creation_lock
from autotune.recording.drafts import NewStudy
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.files import StudyFiles, make_files_root
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.places import Places
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.recording.transactions import guard_writes
from autotune.search.plan import SearchPlan
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.model import Choice, Confirm, StudySpec

_space = TypeAdapter(SearchSpace)


def open_books(
    places: Places,
    records: Records,
    *,
    study: StudyRow,
    machine: Machine,
    asked: Confirm,
    series: Series,
    stack: ExitStack,
) -> Books:
    """The books of ``series.name``, with its lease; ``stack`` closes them.

    Args:
        places: With a normalised storage.
        records: Of the storage.
        study: Whose trials are trained again.
        machine: That trains.
        asked: Is recorded with the trainings.
        series: What is to be trained.
        stack: Closes the books.
    """
    name = series.name
    spec = _spec(study, asked=asked, num_trials=series.num_trials)
    space = _space_of(series)
    plan = SearchPlan(
        space=space,
        objectives=spec.objectives,
        sampler=spec.sampler,
        pruner=spec.pruner,
        max_resource=spec.budget.max_resource,
        resource=spec.budget.resource,
    )
    texts = {"spec_text": study.spec_text, "spec_json": spec.model_dump_json()}
    resolved_json = _space.dump_json(space).decode()
    with creation_lock(places.storage):
        optuna_storage = open_storage(places.storage, configure_engine=configure_engine)
        stack.callback(optuna_storage.engine.dispose)
        row = records.find_study(name)
        if row is None:
            Search.create(name, storage=optuna_storage, plan=plan)
            new = NewStudy(
                name=name,
                task=study.task,
                task_digest=study.task_digest,
                seed=study.seed,
                resolved_json=resolved_json,
                **texts,
            )
            row = records.create_study(new)
    lease = StudyLease.acquire(records, study=row)
    stack.callback(lease.release)
    guard_writes(optuna_storage.engine, records)
    if row.task != study.task:  # the search's was moved
        records.set_task(row, task=study.task, digest=study.task_digest)
    row = records.update_spec(row, resolved_json=resolved_json, **texts)
    publisher = Publisher(places.storage, study=name, tracking_uri=places.tracking_uri)
    stack.callback(publisher.close, timeout=0.0)
    return Books(
        study=row,
        spec=spec,
        records=records,
        search=Search.open(name, storage=optuna_storage, plan=plan),
        publisher=publisher,
        files=StudyFiles.of(row, root=make_files_root(places.storage)),
        lease=lease,
        environment_id=EnvironmentRecords(records.engine).add(machine, guard=records.guard),
        git_commit=git_commit(spec.task),
    )


def _spec(study: StudyRow, *, asked: Confirm, num_trials: int) -> StudySpec:
    """The study's own, for trainings that nothing prunes and no time cuts off."""
    spec = study.spec
    changes = {
        "sampler": Choice(name="random"),
        "pruner": Choice(name="none"),
        "confirm": asked,
        "log_model": False,
        "budget": spec.budget.model_copy(update={"trials": num_trials, "seconds": None}),
    }
    return spec.model_copy(update=changes)


def _space_of(series: Series) -> SearchSpace:
    most = max(1, *(each.number for each in series.contenders))
    number = SpaceParameter(name=series.parameter, group="learning", type="int", low=0, high=most)
    return SearchSpace((number,), fixed={}, left_out=(), baseline={series.parameter: series.contenders[0].number})
