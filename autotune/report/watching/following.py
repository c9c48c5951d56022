"""Follows a running study by its rows, and tells an observer what the coordinator itself would tell."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from autotune.coordinator.observer import Observer, StudyView, TrialView
from autotune.coordinator.standing import ending_of, standing_of
from autotune.errors import StudyNotFoundError
from autotune.events import Finished, Started
from autotune.recording.confirmed import find_confirmation
from autotune.recording.database import MissingError, hide_password
from autotune.recording.lease import Holder, read_holders
from autotune.recording.records import Records
from autotune.recording.rows import Activity, StudyRow, StudyState, TrialRow, TrialStatus
from autotune.recording.starts import is_being_started
from autotune.report.summaries.reading import open_records
from autotune.report.text.wording import format_moment
from autotune.report.watching.repeated import names_of_repeats

_POLL_SECONDS = 0.25
_START_SECONDS = 15.0
"""The longest time from a start's first look at the database until it runs its study: it imports torch and tries the
task."""
_ANNOUNCED_SECONDS = 2.0
"""The longest time from typing a start to its first look at the database, which is announced (``recording.starts``)."""


class Follower:
    """Reads the rows again and again, and tells what is new in them since the last time.

    It writes nothing and asks nothing of the coordinators, which may be on other machines.
    """

    def __init__(self, storage: str, *, name: str, observer: Observer) -> None:
        self._storage = storage
        self._name = name
        self._observer = observer
        self._records: Records = open_records(storage)
        self._running: dict[int, int] = {}
        """The last epoch that was told, by running trial."""
        self._started: set[int] = set()
        self._ended: set[int] = set()
        self._holders: frozenset[str] | None = None
        self._activities: frozenset[str] = frozenset()
        self._sides: Mapping[int, str] = {}
        self._is_confirming = False

    def begin(self) -> None:
        """Tell the study's present state; raises StudyNotFoundError."""
        study, rows = self._read()
        self._ended = {row.number for row in rows if row.is_over}
        self._observer.study_opened(self._view(study, rows))

    def look(self) -> bool:
        """Tell what is new; returns False once the study is over and nobody runs it."""
        study, rows = self._read()
        holders = read_holders(self._records.engine, study=study)
        races = [each.activity for each in holders if each.activity is not None and not each.is_gone]
        is_held = any(not holder.is_gone for holder in holders)
        view = replace(_racing(self._view(study, rows), races), is_run=is_held)
        self._tell_holders(holders, study=study)
        activities = frozenset(race.line for race in races)
        for line in sorted(activities - self._activities):
            self._observer.note(line)
        self._activities = activities
        for row in rows:
            self._tell_trial(row, view)
        self._tell_confirmation(study, is_held=is_held)
        self._observer.ticked(view)
        return study.state is StudyState.OPEN or is_held

    def close(self) -> None:
        """Close the database."""
        self._records.engine.dispose()

    def _read(self) -> tuple[StudyRow, Sequence[TrialRow]]:
        study = self._records.study(self._name)
        return study, [row for row in self._records.trials(study) if row.origin is None]

    def _view(self, study: StudyRow, rows: Sequence[TrialRow]) -> StudyView:
        spec = study.spec
        standing = standing_of(study, spec=spec, rows=rows, storage=hide_password(self._storage))
        self._sides = names_of_repeats(self._records, study, rows=rows)
        standing.set_sides(dict.fromkeys(self._sides.values()), trials=self._sides)
        return standing.view(num_running=sum(_is_running(row) for row in rows))

    def _tell_holders(self, holders: Sequence[Holder], *, study: StudyRow) -> None:
        words = frozenset(_holder_words(holder) for holder in holders) or frozenset({_nobody_words(study)})
        for line in sorted(words - (self._holders or frozenset())):
            self._observer.note(line)
        self._holders = words

    def _tell_confirmation(self, study: StudyRow, *, is_held: bool) -> None:
        """Tell that the winner is being confirmed, while the study itself seems to stand still."""
        confirmation = find_confirmation(self._records, study=study)
        is_open = is_held and confirmation is not None and confirmation.state is StudyState.OPEN
        if is_open and confirmation is not None and not self._is_confirming:
            self._observer.note(f"its winner is being confirmed: `autotune study watch {confirmation.name}` shows it")
        self._is_confirming = is_open

    def _tell_trial(self, row: TrialRow, view: StudyView) -> None:
        number = row.number
        if number in self._ended:
            return
        # It may have started and ended between two looks.
        if row.started_at is not None and number not in self._running and (row.is_over or _is_running(row)):
            is_adopted = row.restarts > 0
            self._running[number] = 0
            device, side = row.device or "-", self._sides.get(number)
            self._observer.trial_launched(
                TrialView(number, row.parameters, row.is_baseline, is_adopted, device, side), view
            )
        if number in self._running:
            self._tell_epochs(row, view)
        ending = ending_of(row)
        if ending is not None and (row.is_over or number in self._running):
            self._running.pop(number, None)
            self._started.discard(number)
            finished = Finished(outcome=ending.outcome, reason=ending.reason, traceback=row.traceback)
            self._observer.trial_ended(number, finished, view)
        if row.is_over:
            self._ended.add(number)

    def _tell_epochs(self, row: TrialRow, view: StudyView) -> None:
        number = row.number
        if row.setup_seconds is not None and number not in self._started:
            self._started.add(number)
            started = Started(in_force={}, device=row.device or "-", setup_seconds=row.setup_seconds)
            self._observer.trial_started(number, started)
        reports = self._records.reports(row)
        if max((recorded.report.epoch for recorded in reports), default=0) < self._running[number]:
            self._running[number] = 0  # it fell back to the baseline's speed parameters, and began anew
        for recorded in reports:
            if recorded.report.epoch > self._running[number]:
                self._running[number] = recorded.report.epoch
                self._observer.trial_reported(number, recorded.report, view)


def await_study(storage: str, *, name: str, seconds: float | None, note: Callable[[str], None]) -> None:
    """Wait for a study whose start has just begun, until it is stored or opened again.

    A study that is over and is not started again ends the wait without an error.

    Args:
        storage: The storage's URL.
        name: The study's name.
        seconds: How long to wait at most; None waits as long as a start that has just begun takes to be seen.
        note: Told once that there is nothing yet, and that it is being started.

    Raises:
        MissingError: There is no such database (``recording.database``) after that time.
        StudyNotFoundError: The database has no such study.
    """
    began = time.monotonic()
    told = set[str]()
    while True:
        missing: MissingError | StudyNotFoundError | None = None
        try:
            absence = _absence(storage, name=name)
        except MissingError as error:
            absence, missing = _Absence(f"study {name}: not there yet", _START_SECONDS), error
        except StudyNotFoundError as error:  # it may be misspelt
            absence, missing = _Absence(str(error), _START_SECONDS), error
        if absence is None:
            return
        limit = absence.seconds if seconds is None else seconds
        if limit > 0 and absence.words not in told:
            told.add(absence.words)
            note(f"{absence.words}; waits up to {limit:g} s for its start")
        if time.monotonic() - began >= limit:
            if missing is not None:
                raise missing
            return
        time.sleep(min(limit, _POLL_SECONDS))


@dataclass(frozen=True)
class _Absence:
    """Why nobody runs a study now."""

    words: str
    seconds: float
    """Seconds after which a start that had just begun would have been seen."""


def _absence(storage: str, *, name: str) -> _Absence | None:
    """Why nobody runs the study; None where it is open, or somebody runs it."""
    records = open_records(storage)
    try:
        study = records.study(name)
        if study.state is StudyState.OPEN:
            return None
        if any(not holder.is_gone for holder in read_holders(records.engine, study=study)):
            return None
        if is_being_started(records.engine, study=study):
            return _Absence(f"study {name}: is being started again", _START_SECONDS)
    finally:
        records.engine.dispose()
    return _Absence(f"study {name}: {study.state.value} already", _ANNOUNCED_SECONDS)


def follow(follower: Follower, *, seconds: float) -> None:
    """Follow the study until it is over, with a look every ``seconds``."""
    follower.begin()
    while follower.look():
        time.sleep(seconds)


def _racing(view: StudyView, races: Sequence[Activity]) -> StudyView:
    """The view with these running races: their time so far does not count as the trials', though charged later."""
    if not races:
        return view
    last = max(races, key=lambda race: race.ends_at)
    return replace(view, trial_seconds=min(view.trial_seconds, last.trial_seconds), race_ends_at=last.ends_at)


def _is_running(row: TrialRow) -> bool:
    return row.status is TrialStatus.RUNNING and row.outcome is None


def _nobody_words(study: StudyRow) -> str:
    words = "no coordinator runs it now"
    return f"{words}; `autotune study resume {study.name}` goes on" if study.state is StudyState.OPEN else words


def _holder_words(holder: Holder) -> str:
    who = f"coordinator {holder.pid} on {holder.hostname}"
    if holder.is_gone:
        return f"{who} is gone; `autotune study resume` goes on"
    return f"{who} runs it since {format_moment(holder.acquired_at)}"
