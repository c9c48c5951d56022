"""From a storage's address to summaries; the one place where ``report`` opens a database."""

from dataclasses import dataclass

from autotune.proof.verdict import Verdict
from autotune.recording import confirmed
from autotune.recording.database import open_database
from autotune.recording.races import RaceRecords
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.report.summaries.studies import StudySummary, summarise_study, summarise_trials
from autotune.report.summaries.trials import TrialSummary


@dataclass(frozen=True)
class StudyReport:
    """A study with all of its trials."""

    study: StudySummary
    trials: tuple[TrialSummary, ...]
    verdict: Verdict | None = None
    """What trainings on fresh seeds say of the winner, where it was confirmed."""


def read_study(storage: str, *, name: str) -> StudyReport:
    """The study as it is recorded now.

    Raises:
        StorageError: The storage can't be read.
        StudyNotFoundError: It has no study of this name.
    """
    records = open_records(storage)
    return _report(records, records.study(name))


def read_studies(storage: str) -> tuple[StudySummary, ...]:
    """All studies of a storage, the newest last; raises StorageError."""
    records = open_records(storage)
    return tuple(_report(records, row).study for row in sorted(records.studies(), key=lambda row: row.created_at))


def open_records(storage: str) -> Records:
    """The records of a storage that exists."""
    return Records(open_database(storage, create=False))


def _report(records: Records, row: StudyRow) -> StudyReport:
    trials = summarise_trials(row, trials=records.trials(row), reports=records.all_reports(row))
    races = RaceRecords(records.engine)
    study = summarise_study(row, trials=trials, races=races.of_study(row), other_races=races.of_others(row))
    return StudyReport(study, trials, confirmed.read_verdict(records, study=row))
