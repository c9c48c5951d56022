from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert, text

from autotune.recording import tables
from autotune.recording.backup import Backup
from autotune.recording.database import open_database
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow
from autotune.recording.schema_upgrade import upgrade_database
from tests.recording.migrating import migrate


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database of the first schema, with a study, a trial and an epoch of it."""
    url = f"sqlite:///{tmp_path}/autotune.db"
    engine = create_engine(url)
    migrate(engine, revision="0001")
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO autotune_study (uid, name, task, spec_text, spec_json, resolved_json, seed, state,"
                " created_at, elapsed_seconds, version, published_version)"
                " VALUES ('ab', 'digits', 'a:B', 'task: a:B', '{}', '{}', 3, 'open', 1.0, 12.5, 1, 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO autotune_trial (study_id, number, parameters, is_baseline, seed, status, in_force,"
                " restarts, created_at, samples_per_second, unread_parameters, version, published_version)"
                " VALUES (1, 0, '{\"lr\": 0.1}', 1, 5, 'running', '{}', 0, 2.0, 320.0, '[]', 1, 0)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO autotune_report (trial_id, epoch, step, metrics, samples, seconds, samples_per_second,"
                " data_wait_share, peak_memory_bytes, at)"
                " VALUES (1, 1, 10, '{\"val_accuracy\": 0.5}', 640, 2.0, 320.0, 0.25, 1000, 3.0)"
            )
        )
    engine.dispose()
    return url


def _open(url: str) -> tuple[Records, StudyRow]:
    upgrade_database(url, backup=Backup(file=None, is_wanted=False))
    records = Records(open_database(url, create=False))
    return records, records.study("digits")


def test_a_study_of_the_first_schema_is_as_it_was(url: str) -> None:
    records, study = _open(url)
    assert (study.elapsed_seconds, study.speed_seconds, study.seed) == (12.5, 0.0, 3)
    records.engine.dispose()


def test_a_trial_of_the_first_schema_ran_alone_and_within_memory(url: str) -> None:
    records, study = _open(url)
    trial = records.trial(study, number=0)
    assert (trial.parameters, trial.samples_per_second) == ({"lr": 0.1}, 320.0)
    assert not trial.is_contended
    assert not trial.is_out_of_memory
    records.engine.dispose()


def test_an_epoch_of_the_first_schema_does_not_say_how_long_the_trial_had_trained(url: str) -> None:
    records, study = _open(url)
    report = records.all_reports(study)[0].report
    assert (report.metrics, report.seconds, report.samples) == ({"val_accuracy": 0.5}, 2.0, 640)
    assert (report.trained_seconds, report.trained_samples) == (None, None)
    records.engine.dispose()


def test_a_race_outlives_its_study(url: str) -> None:
    records, study = _open(url)
    race = {
        "study_id": study.id,
        "hardware_fingerprint": "h",
        "software_fingerprint": "s",
        "task": study.task,
        "workload": "{}",
        "workload_digest": "d",
        "device": "cpu",
        "num_cores": 2,
        "setting": "{}",
        "result": "{}",
        "seconds": 3.0,
        "created_at": 4.0,
    }
    with records.engine.begin() as connection:
        connection.execute(insert(tables.race).values(race))
    records.delete_study(study)
    with records.engine.connect() as connection:
        assert connection.execute(text("SELECT study_id, task FROM autotune_race")).one() == (None, "a:B")
    records.engine.dispose()
