"""What is deleted of a study, and when nothing is."""

from pathlib import Path

import pytest

from autotune.coordinator.upkeep.deletion import delete_study
from autotune.errors import StudyHeldError
from autotune.recording.lease import StudyLease
from tests.report.study_book import StudyBook


def test_study_that_runs_keeps_its_confirmation_and_its_ablation(tmp_path: Path) -> None:
    """They were gone by the time that the study itself was refused."""
    storage, names = f"sqlite:///{tmp_path / 'autotune.db'}", ("digits", "digits.confirm", "digits.ablation")
    books = [StudyBook(storage, name=name) for name in names]
    records = books[0].records
    lease = StudyLease.acquire(records, study=books[0].row)
    tracking_uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    with pytest.raises(StudyHeldError, match="study digits: one coordinator at a time"):
        delete_study(storage, name="digits", tracking_uri=tracking_uri)
    assert {study.name for study in records.studies()} == set(names)

    lease.release()
    delete_study(storage, name="digits", tracking_uri=tracking_uri)
    assert records.studies() == ()
    for book in books:
        book.records.engine.dispose()
