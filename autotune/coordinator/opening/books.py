"""Opens a study's books: finds or makes its rows and Optuna's, under this coordinator's lease."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from autotune.coordinator.books import Books
from autotune.coordinator.company import Company
from autotune.coordinator.opening.provenance import git_commit
from autotune.hardware import Machine
from autotune.recording.crew import Crew
from autotune.recording.database import creation_lock
from autotune.recording.drafts import NewStudy
from autotune.recording.engines import configure_optuna_engine
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.files import StudyFiles, make_files_root
from autotune.recording.lease import StudyLease
from autotune.recording.mlflow.publisher import Publisher
from autotune.recording.places import Places
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.recording.transactions import guard_writes
from autotune.search.plan import SearchPlan
from autotune.search.storage import open_storage
from autotune.search.study import Search
from autotune.spec.model import StudySpec


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What is needed to open or make a study."""

    places: Places
    """Where the study's records are; the storage's URL is normalised."""
    new: NewStudy
    """The facts that the study is recorded with if there is none of its name."""
    spec: StudySpec
    plan: SearchPlan
    machine: Machine
    """The machine on which the trials train."""
    company: Company
    """Other programs on its devices."""


def open_books(
    opening: Opening,
    *,
    records: Records,
    stack: ExitStack,
    hold: Callable[[StudyRow], tuple[StudyLease, Crew | None]],
    settle: Callable[[StudyRow, Crew | None], StudyRow],
) -> Books:
    """The study's books, found or made.

    Args:
        opening: The study to open.
        records: The records of its storage.
        stack: Closes the books at its end.
        hold: Takes the study's lease, as one of a crew where there may be several, and has ``stack`` give it back.
        settle: Called under the lease; returns the study as this start changes it.
    """
    storage, name = opening.places.storage, opening.new.name
    with creation_lock(storage):
        optuna_storage = open_storage(storage, configure_engine=configure_optuna_engine)
        stack.callback(optuna_storage.engine.dispose)
        study = records.find_study(name)
        if study is None:
            # Optuna's study comes first: it refuses a name that another program's study has, before ours is made.
            Search.create(name, storage=optuna_storage, plan=opening.plan)
            study = records.create_study(opening.new)
    lease, crew = hold(study)
    guard_writes(optuna_storage.engine, records)
    study = settle(study, crew)
    publisher = Publisher(storage, study=name, tracking_uri=opening.places.tracking_uri)
    stack.callback(publisher.close, timeout=0.0)
    return Books(
        study=study,
        spec=opening.spec,
        records=records,
        search=Search.open(name, storage=optuna_storage, plan=opening.plan),
        publisher=publisher,
        files=StudyFiles.of(study, root=make_files_root(storage)),
        lease=lease,
        environment_id=EnvironmentRecords(records.engine).add(opening.machine, guard=records.guard),
        git_commit=git_commit(opening.spec.task),
        is_contended=opening.plan.jobs > 1,
        crew=crew,
        company=opening.company,
    )
