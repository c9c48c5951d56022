"""Finds a study's task again where its file was moved since it was recorded."""

from dataclasses import replace
from pathlib import Path

from autotune.errors import SpecChangedError
from autotune.recording.database import sqlite_folder
from autotune.recording.rows import StudyRow
from autotune.spec.overrides import Override, apply_overrides
from autotune.spec.source import find_moved, find_source, source_digest


def relocate(study: StudyRow, *, storage: str) -> StudyRow:
    """The study with the path at which its task's file lies now.

    The study is unchanged where the file is in its place, or the task is a module. Otherwise the file is looked for
    below the database's folder and the current folder, under the same relative paths. Nothing is recorded.

    Raises:
        SpecChangedError: The task's file is gone, or the one that was found has other code.
    """
    spec = study.spec
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
