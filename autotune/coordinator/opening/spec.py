"""A study's place in the database: found again with the same spec, or made."""

from pydantic import TypeAdapter

from autotune.errors import SpecChangedError
from autotune.recording.drafts import NewStudy
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, StudyState
from autotune.search.space import SearchSpace
from autotune.spec.diff import Change, Sources, SpecDiff, compare_specs
from autotune.spec.load import SpecFile
from autotune.spec.source import source_digest

_space = TypeAdapter(SearchSpace)


def resolved_space(study: StudyRow) -> SearchSpace:
    """The space as it was resolved on the machine of the study's last start."""
    return _space.validate_json(study.resolved_json)


def check_spec(study: StudyRow, *, file: SpecFile) -> SpecDiff:
    """What the spec changes in an existing study.

    Raises:
        SpecChangedError: Optuna can't go on with a change; the message holds the diff and the way out.
    """
    old = study.spec
    sources = Sources(old=study.task_digest or source_digest(old.task), new=source_digest(file.spec.task))
    diff = compare_specs(old, file.spec, sources=sources)
    if diff.can_continue:
        return diff
    lines = [describe_change(change) for change in diff.changes]
    way_out = f"undo it, or start another study from this one's trials: --name {study.name}-2 --warm-start {study.name}"
    refused = f"study {study.name}: it exists with another spec, and can't go on with what changed; {way_out}"
    raise SpecChangedError("\n".join([refused, *lines]))


def describe_change(change: Change) -> str:
    """``~ learning.lr.high: 0.1 → 1`` for what goes on, with ``✗`` and the reason for what can't."""
    mark = "~" if change.can_continue else "✗"
    why = "" if change.can_continue else f" ({change.why})"
    return f"  {mark} {change.key}: {change.old} → {change.new}{why}"


def new_study(name: str, *, file: SpecFile, space: SearchSpace) -> NewStudy:
    """The facts that a new study with this spec is recorded with."""
    return NewStudy(
        name=name,
        task=file.spec.task,
        task_digest=source_digest(file.spec.task),
        spec_text=file.text,
        spec_json=file.spec.model_dump_json(),
        resolved_json=_space.dump_json(space).decode(),
        seed=file.spec.seed,
    )


def take_over_spec(
    records: Records, *, study: StudyRow, file: SpecFile, space: SearchSpace
) -> tuple[StudyRow, tuple[Change, ...]]:
    """The study with this start's spec and space, and the changes against its earlier spec."""
    diff = check_spec(study, file=file)
    task, digest = file.spec.task, source_digest(file.spec.task)
    resolved_json = _space.dump_json(space).decode()
    moved = (Change("task", study.task, task, can_continue=True, why="it was moved"),) if study.task != task else ()
    if (study.task, study.task_digest) != (task, digest):
        records.set_task(study, task=task, digest=digest)
    is_stopped = study.state is StudyState.STOPPED  # it was given up, and goes on now
    if not diff.changes and not moved and study.resolved_json == resolved_json and not is_stopped:
        return study, ()
    spec_json = file.spec.model_dump_json()
    study = records.update_spec(study, spec_text=file.text, spec_json=spec_json, resolved_json=resolved_json)
    return study, (*moved, *diff.changes)
