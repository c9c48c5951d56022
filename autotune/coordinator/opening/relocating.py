"""A study whose task was moved since it was recorded, as projects and their databases are."""

from dataclasses import replace
from pathlib import Path

from autotune.errors import SpecChangedError
from autotune.recording.database import sqlite_folder
from autotune.recording.rows import StudyRow
from autotune.spec.model import StudySpec
from autotune.spec.overrides import Override, apply_overrides
from autotune.spec.source import find_moved, find_source, source_digest


def relocate(study: StudyRow, *, storage: str) -> StudyRow:
    """The study with its task where that lies now; as it is where its task is in its place, or no file.

    What was moved is looked for below the database's folder and the current one, as far below as it lay.
    Nothing is recorded.

    Raises:
        SpecChangedError: The task is gone, or what lies in its place is another one.
    """
    spec = StudySpec.model_validate_json(study.spec_json)
    if not spec.task.rpartition(":")[0].endswith(".py") or find_source(spec.task) is not None:
        return study
    folders = [folder for folder in (sqlite_folder(storage), Path.cwd()) if folder is not None]
    task = find_moved(spec.task, digest=study.task_digest, folders=folders)
    gone = f"study {study.name}: its task is a file that is there, got none at {spec.task}"
    if task is None:
        where = " or ".join(dict.fromkeys(map(str, folders)))
        raise SpecChangedError(
            f"{gone}, nor in {where}; go to its folder, or `autotune study start SPEC.yaml --name {study.name}`"
        )
    if study.task_digest is not None and source_digest(task) != study.task_digest:
        raise SpecChangedError(
            f"{gone}, and {task} is other code; `autotune study start SPEC.yaml --name NEW` searches for it anew"
        )
    return replace(
        study,
        task=task,
        spec_text=apply_overrides(study.spec_text, [Override(key=("task",), value=task, typed="")]),
        spec_json=spec.model_copy(update={"task": task}).model_dump_json(),
    )
