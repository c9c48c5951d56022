"""Checks that the disks have room for a study before anything of it is stored."""

from pathlib import Path

from autotune.disk import LEFT_FREE_BYTES, format_bytes, free_bytes
from autotune.errors import StorageError
from autotune.recording.database import sqlite_folder
from autotune.recording.files import FILES_VARIABLE, bytes_of_checkpoints, files_root
from autotune.spec.model import StudySpec

_TRIAL_BYTES = 2048
_REPORT_BYTES = 512
"""Bytes allowed for a trial and a report in the database: about twice what trials of ten reports take in a study of
10,000 (docs/benchmarks.md)."""


def check_room(storage: str, *, name: str, spec: StudySpec, checkpoint_bytes: int | None, jobs: int) -> str | None:
    """Compare what a study with ``jobs`` trials at once needs with what is free.

    Each running trial has a checkpoint, which exists twice while it is written, and the best trial has one. What a
    function task saves is unknown before it runs, and is left out.

    Args:
        storage: The database's URL.
        name: The study's name; checkpoints that it already has are counted as stored.
        spec: The study's spec.
        checkpoint_bytes: About what a checkpoint of the baseline takes; None where nobody knows.
        jobs: Trials at once.

    Returns:
        One line where a quota is too small for all checkpoints; else None.

    Raises:
        StorageError: There is not enough.
    """
    root = files_root(storage)
    each = checkpoint_bytes or 0
    wanted, limit = (2 * jobs + 1) * each, spec.checkpoints.max_bytes
    bounded = wanted if limit is None else min(wanted, limit)
    checkpoints = max(0, bounded - bytes_of_checkpoints(root, name=name))
    database = sqlite_folder(storage)
    is_one_disk = database is not None and _device(database) == _device(root)
    records = _database_bytes(spec) if database is not None else 0
    if database is not None and not is_one_disk:
        _check(database, records, what="its database", remedy="name another database with --storage")
    what = f"{_words(jobs, each)}{', and its database' if is_one_disk else ''}"
    remedy = f"name another folder with {FILES_VARIABLE}, or set checkpoints.max_bytes"
    _check(root, checkpoints + (records if is_one_disk else 0), what=what, remedy=remedy)
    if limit is None or limit >= wanted or limit == 0:
        return None
    rule = f"checkpoints.max_bytes: {_words(jobs, each)} may take {format_bytes(wanted)}, got {format_bytes(limit)}"
    return f"{rule}; where it is used up, trials go on without a checkpoint"


def _words(jobs: int, each: int) -> str:
    running = "a trial" if jobs == 1 else f"{jobs} trials at once"
    return f"{running} and the best one with checkpoints of about {format_bytes(each)}, twice while one is written"


def _database_bytes(spec: StudySpec) -> int:
    """Bytes that the study's rows may take, at least the part of the disk that checkpoints leave free."""
    trials = spec.budget.trials or 0
    return max(LEFT_FREE_BYTES, trials * (_TRIAL_BYTES + spec.budget.epochs * _REPORT_BYTES))


def _check(folder: Path, needed: int, *, what: str, remedy: str) -> None:
    free = free_bytes(_nearest(folder))
    if needed > free:
        missing = format_bytes(needed - free)
        rule = f"the study needs {format_bytes(needed)} here for {what}, got {format_bytes(free)} that are free"
        raise StorageError(f"{folder}: {rule}; make room for {missing} more, or {remedy}")


def _device(path: Path) -> int:
    return _nearest(path).stat().st_dev


def _nearest(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    while not path.exists():
        path = path.parent
    return path
