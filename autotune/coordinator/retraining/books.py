"""The study that repeated trainings are written into: found or made, without anything to search."""

from contextlib import ExitStack

from pydantic import TypeAdapter

from autotune.coordinator.books import Books
from autotune.coordinator.opening.books import Opening, open_books
from autotune.coordinator.opening.planning import plan_of
from autotune.coordinator.retraining.ledger import Series
from autotune.coordinator.workplace import Workplace
from autotune.recording.crew import Crew
from autotune.recording.drafts import NewStudy
from autotune.recording.lease import StudyLease
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.spec.model import Choice, Confirm, StudySpec

_space = TypeAdapter(SearchSpace)


def open_series(
    workplace: Workplace, records: Records, *, study: StudyRow, asked: Confirm, series: Series, stack: ExitStack
) -> Books:
    """The books of ``series.name``, with its lease; ``stack`` closes them.

    Args:
        workplace: Where it is trained and written down.
        records: Of the workplace's storage.
        study: Whose trials are trained again.
        asked: Is recorded with the trainings.
        series: What is to be trained.
        stack: Closes the books.
    """
    spec = _spec(study, asked=asked, num_trials=series.num_trials)
    space = _space_of(series)
    spec_json, resolved_json = spec.model_dump_json(), _space.dump_json(space).decode()

    def hold(row: StudyRow) -> tuple[StudyLease, None]:
        lease = StudyLease.acquire(records, study=row)
        stack.callback(lease.release)
        return lease, None

    def settle(row: StudyRow, crew: Crew | None) -> StudyRow:
        assert crew is None
        if row.task != study.task:  # the search's was moved
            records.set_task(row, task=study.task, digest=study.task_digest)
        return records.update_spec(row, spec_text=study.spec_text, spec_json=spec_json, resolved_json=resolved_json)

    new = NewStudy(
        name=series.name,
        task=study.task,
        task_digest=study.task_digest,
        spec_text=study.spec_text,
        spec_json=spec_json,
        resolved_json=resolved_json,
        seed=study.seed,
    )
    plan = plan_of(spec, space=space, jobs=1)
    opening = Opening(
        places=workplace.places, new=new, spec=spec, plan=plan, machine=workplace.machine, company=workplace.company
    )
    return open_books(opening, records=records, stack=stack, hold=hold, settle=settle)


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
    """A space of one parameter, a contender's number; the first contender's is the baseline."""
    most = max(1, *(each.number for each in series.contenders))
    number = SpaceParameter(name=series.parameter, group="learning", type="int", low=0, high=most)
    return SearchSpace((number,), fixed={}, left_out=(), baseline={series.parameter: series.contenders[0].number})
