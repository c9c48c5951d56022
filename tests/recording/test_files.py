from pathlib import Path

import pytest

from autotune.errors import RunError, StorageError
from autotune.recording.database import open_database
from autotune.recording.drafts import NewStudy
from autotune.recording.files import FILES_VARIABLE, StudyFiles, files_root, make_files_root
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow


def make_study(tmp_path: Path) -> StudyRow:
    records = Records(open_database(f"sqlite:///{tmp_path}/a.db", create=True))
    study = records.create_study(NewStudy(name="digits", task="t", spec_text="", spec_json="{}", seed=1))
    records.engine.dispose()
    return study


def test_files_stand_beside_a_sqlite_database() -> None:
    assert files_root("sqlite:////data/studies.db", environ={}) == Path("/data/studies.files")


def test_files_of_a_server_are_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert files_root("postgresql://db/studies", environ={}) == tmp_path / "autotune.files"


def test_the_environment_names_another_place(tmp_path: Path) -> None:
    environ = {"AUTOTUNE_FILES": str(tmp_path)}
    assert files_root("sqlite:////data/studies.db", environ=environ) == tmp_path


def test_the_folder_of_all_files_is_made_once(tmp_path: Path) -> None:
    for _ in range(2):
        assert make_files_root(f"sqlite:///{tmp_path}/a.db") == tmp_path / "a.files"
    assert list((tmp_path / "a.files").iterdir()) == []


def test_files_below_a_file_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "note").touch()
    monkeypatch.setenv(FILES_VARIABLE, str(tmp_path / "note" / "files"))
    with pytest.raises(StorageError, match=r"note/files: .*, got 'Not a directory'; name another with AUTOTUNE_FILES"):
        make_files_root(f"sqlite:///{tmp_path}/a.db")


def test_a_trial_s_folder_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "files").touch()
    with pytest.raises(RunError, match="trial-00003: a trial needs its folder, got 'Not a directory'; mend that"):
        StudyFiles.of(make_study(tmp_path), root=tmp_path / "files").trial_folder(3)


def test_a_trial_keeps_its_log_when_its_checkpoint_goes(tmp_path: Path) -> None:
    files = StudyFiles.of(make_study(tmp_path), root=tmp_path / "files")
    folder = files.trial_folder(3)
    for path in (files.checkpoint(3), files.log(3)):
        assert path.parent == folder
        path.touch()
    files.remove_checkpoint(3)
    assert [path.name for path in folder.iterdir()] == ["trial.log"]


def test_removing_a_study_removes_its_files_alone(tmp_path: Path) -> None:
    root = tmp_path / "files"
    files = StudyFiles.of(make_study(tmp_path), root=root)
    files.trial_folder(0)
    files.trial_folder(1)
    (root / "other").mkdir()
    files.remove(0)
    assert not files.checkpoint(0).parent.exists()
    files.remove_all()
    files.remove_all()
    assert [path.name for path in root.iterdir()] == ["other"]


def test_a_study_made_later_under_the_same_name_finds_no_older_files(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
    root = tmp_path / "files"
    assert StudyFiles.of(make_study(first), root=root) != StudyFiles.of(make_study(second), root=root)
