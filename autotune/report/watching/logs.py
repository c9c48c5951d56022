"""A trial's log, whole or as it grows."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autotune.coordinator.observer import Ending
from autotune.coordinator.standing import ending_of
from autotune.errors import RunError
from autotune.recording.environments import EnvironmentRecords
from autotune.recording.files import StudyFiles, files_root
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialStatus
from autotune.report.summaries.reading import open_records

_POLL_SECONDS = 0.2
_REMEMBERED_BYTES = 512
"""How much of the last output is remembered, to find the place again in a log whose middle was cut out."""


@dataclass(frozen=True)
class FoundLog:
    """Where a trial's log is, and the records that say whether it still grows."""

    path: Path
    number: int
    study: StudyRow
    records: Records

    @property
    def can_grow(self) -> bool:
        """Whether the trial may still write: it is queued, running, or interrupted and may go on."""
        row = self.records.trial(self.study, number=self.number)
        return row.status is TrialStatus.QUEUED or (row.status is TrialStatus.RUNNING and row.outcome is None)

    @property
    def ending(self) -> Ending | None:
        """How the trial ended, with the reason; None while it has not."""
        return ending_of(self.records.trial(self.study, number=self.number))

    def close(self) -> None:
        """Close the database."""
        self.records.engine.dispose()


def find_log(storage: str, *, name: str, number: int) -> FoundLog:
    """The trial's log, which need not be there yet while the trial may still write one.

    Raises:
        StudyNotFoundError: There is no such study or trial.
        RunError: The trial is over, and its log is not on this machine.
    """
    records = open_records(storage)
    study = records.study(name)
    log = FoundLog(StudyFiles.of(study, root=files_root(storage)).log(number), number, study, records)
    if not log.can_grow and not log.path.exists():
        row = records.trial(study, number=number)
        machines = EnvironmentRecords(records.engine).all()
        where = machines[row.environment_id].machine.hostname if row.environment_id else "no machine"
        rule = f"a log lies where its trial trained, got no file {log.path}; {name}/{number} trained on {where}"
        raise RunError(f"trial {number}: {rule}")
    return log


def read_log(log: FoundLog, *, num_lines: int | None = None, should_follow: bool = False) -> Iterator[str]:
    """The log in pieces, or its last ``num_lines``; to its present end, or as long as it can grow."""
    seen = _read(log.path)
    kept = seen if num_lines is None else b"".join(seen.splitlines(keepends=True)[-num_lines:])
    yield kept.decode(errors="replace")
    if should_follow:
        yield from _grow(lambda: _read(log.path), seen=seen, can_grow=lambda: log.can_grow)


def _grow(read: Callable[[], bytes], *, seen: bytes, can_grow: Callable[[], bool]) -> Iterator[str]:
    is_last = False
    while not is_last:
        # Asked before reading, so that the last read includes everything that the trial wrote before its end.
        is_last = not can_grow()
        content = read()
        new = _after(content, seen)
        if new:
            yield new.decode(errors="replace")
        seen = content
        if not is_last:
            time.sleep(_POLL_SECONDS)


def _after(content: bytes, seen: bytes) -> bytes:
    """The new part of the log behind ``seen``; if its middle was cut out, the part behind the last bytes seen."""
    if content.startswith(seen):
        return content[len(seen) :]
    last = seen[-_REMEMBERED_BYTES:]
    place = content.rfind(last)
    return content if place < 0 else content[place + len(last) :]


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
