import shutil
from collections.abc import Mapping
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from optuna.storages import RDBStorage
from optuna_dashboard._note import get_note_from_system_attrs, save_note_with_version

from autotune.recording.engines import configure_engine
from autotune.search.notes import Attached, attach_files, delete_files, write_notes
from autotune.search.storage import open_storage
from autotune.search.study import Search
from tests.search.spaces import conditional_space, plan_for, run_trials


@pytest.fixture
def storage(empty_database: Path, tmp_path: Path) -> RDBStorage:
    path = tmp_path / "study.db"
    shutil.copy(empty_database, path)
    storage = open_storage(f"sqlite:///{path}", configure_engine=configure_engine)
    run_trials(Search.create("study", storage=storage, plan=plan_for(conditional_space())), count=2)
    return storage


def _note(storage: RDBStorage, number: int | None) -> str:
    """As the dashboard reads it."""
    study_id = storage.get_study_id_from_name("study")
    trial_id = None if number is None else storage.get_trial_id_from_study_id_trial_number(study_id, number)
    note = get_note_from_system_attrs(storage.get_study_system_attrs(study_id), trial_id)
    assert bool(note["version"]) == bool(note["body"])
    return str(note["body"])


def test_dashboard_reads_the_notes_as_its_own(storage: RDBStorage) -> None:
    trials = {0: "**complete**", 1: "**pruned**", 99: "none"}
    write_notes("study", storage=storage, study="the verdict", links="[report](/r)", trials=trials)
    assert _note(storage, None).startswith("the verdict\n\n[report](/r)\n\n*Written by autotune")
    assert (_note(storage, 0), _note(storage, 1)) == ("**complete**", "**pruned**")


def test_note_of_the_study_is_written_anew_and_that_of_a_trial_stays(storage: RDBStorage) -> None:
    write_notes("study", storage=storage, study="first", links="", trials={0: "first"})
    write_notes("study", storage=storage, study="second", links="", trials={0: "second"})
    assert _note(storage, None).startswith("second\n\n\n\n*Written by autotune")
    assert _note(storage, 0) == "first"


def test_note_that_a_person_wrote_is_left_alone(storage: RDBStorage) -> None:
    study_id = storage.get_study_id_from_name("study")
    save_note_with_version(storage, study_id, None, 1, "my own words")
    write_notes("study", storage=storage, study="the verdict", links="", trials={})
    assert _note(storage, None) == "my own words"


def test_long_verdict_is_cut_and_stays_ours(storage: RDBStorage) -> None:
    for _ in range(2):
        write_notes("study", storage=storage, study="x" * 9000, links="[report](/r)", trials={})
    assert _note(storage, None).startswith("xxx")
    assert "[report](/r)\n\n*Written by autotune" in _note(storage, None)


def test_file_attached_again_takes_the_place_of_the_first(storage: RDBStorage, tmp_path: Path) -> None:
    for text in ("one", "two"):
        attach(storage, tmp_path, study={"report.html": text})
    study = optuna.load_study(study_name="study", storage=storage)
    (meta,) = get_all_artifact_meta(study)
    assert (meta.filename, meta.mimetype) == ("report.html", "text/html")
    assert (tmp_path / meta.artifact_id).read_text() == "two"


def test_files_of_trials_that_have_ended_are_read_as_optunas_own(storage: RDBStorage, tmp_path: Path) -> None:
    attached = attach(storage, tmp_path, trials={1: {"learning-curve.svg": "<svg/>"}, 99: {"none.svg": ""}})
    first, second = optuna.load_study(study_name="study", storage=storage).trials
    assert get_all_artifact_meta(first, storage=storage) == []
    (meta,) = get_all_artifact_meta(second, storage=storage)
    assert (meta.filename, meta.mimetype) == ("learning-curve.svg", "image/svg+xml")
    study_id = storage.get_study_id_from_name("study")
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, 1)
    assert attached.trials == {1: {"learning-curve.svg": f"/artifacts/{study_id}/{trial_id}/{meta.artifact_id}"}}


def test_deletion_takes_the_files_and_leaves_those_of_others(storage: RDBStorage, tmp_path: Path) -> None:
    folder = tmp_path / "artifacts"
    attach(storage, folder, study={"report.html": "page"}, trials={0: {"learning-curve.svg": "<svg/>"}})
    (folder / "of-another-study").write_text("page")
    delete_files("study", storage=storage, folder=folder)
    assert [path.name for path in folder.iterdir()] == ["of-another-study"]


def attach(
    storage: RDBStorage,
    folder: Path,
    *,
    study: Mapping[str, str] | None = None,
    trials: Mapping[int, Mapping[str, str]] | None = None,
) -> Attached:
    return attach_files("study", storage=storage, folder=folder, study=study or {}, trials=trials or {})
