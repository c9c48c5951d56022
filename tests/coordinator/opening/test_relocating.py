"""A project that was moved goes on, and one whose task is another is told so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.coordinator.opening.relocating import relocate
from autotune.coordinator.opening.spec import check_spec, new_study, take_over_spec
from autotune.errors import SpecChangedError
from autotune.recording.database import open_database
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, StudyState
from autotune.search.space import SearchSpace
from autotune.spec.load import SpecFile, load_spec, parse_spec

SPEC = """\
task: mine.py:Mine # of all
objective: {metric: val_loss, direction: minimize}
budget: {trials: 4}
learning: {lr: {low: 1e-3, high: 1, log: true}}
"""
SPACE = SearchSpace((), fixed={}, left_out=(), baseline={})


def make_project(folder: Path, *, task: str = "class Mine: pass\n") -> SpecFile:
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text(task)
    (folder / "mine.yaml").write_text(SPEC)
    return load_spec(f"{folder}/mine.yaml")


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Records, StudyRow]]:
    """A study whose folder, with its database, was moved after its first start."""
    file = make_project(tmp_path / "old")
    records = Records(open_database(_url(tmp_path / "old"), create=True))
    records.create_study(new_study("mine", file=file, space=SPACE))
    records.engine.dispose()
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.chdir(tmp_path)
    records = Records(open_database(_url(tmp_path / "new"), create=False))
    yield records, records.study("mine")
    records.engine.dispose()


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/autotune.db"


def test_moved_project_goes_on_by_its_spec_file(moved: tuple[Records, StudyRow], tmp_path: Path) -> None:
    records, study = moved
    file = load_spec(f"{tmp_path}/new/mine.yaml")
    assert check_spec(study, file=file).changes == ()
    study, (change,) = take_over_spec(records, study=study, file=file, space=SPACE)
    assert (change.old, change.new) == (f"{tmp_path}/old/mine.py:Mine", f"{tmp_path}/new/mine.py:Mine")
    assert study == records.study("mine")
    assert study.task == change.new
    assert take_over_spec(records, study=study, file=file, space=SPACE) == (study, ())


def test_moved_project_goes_on_by_its_name(moved: tuple[Records, StudyRow], tmp_path: Path) -> None:
    found = relocate(moved[1], storage=_url(tmp_path / "new"))
    assert found.task == f"{tmp_path}/new/mine.py:Mine"
    assert parse_spec(found.spec_text, origin="study").spec.model_dump_json() == found.spec_json
    assert "# of all" in found.spec_text


def test_study_whose_task_is_in_its_place_is_as_it_was(moved: tuple[Records, StudyRow], tmp_path: Path) -> None:
    here = relocate(moved[1], storage=_url(tmp_path / "new"))
    assert relocate(here, storage=_url(tmp_path)) is here


def test_other_code_in_the_moved_folder_is_no_move(moved: tuple[Records, StudyRow], tmp_path: Path) -> None:
    (tmp_path / "new" / "mine.py").write_text("class Mine: width = 3\n")
    with pytest.raises(SpecChangedError, match=r"mine.py:Mine is other code; `autotune study start SPEC.yaml"):
        relocate(moved[1], storage=_url(tmp_path / "new"))
    with pytest.raises(SpecChangedError, match="the trials so far trained other code"):
        check_spec(moved[1], file=load_spec(f"{tmp_path}/new/mine.yaml"))


def test_task_that_is_gone_is_told_with_where_it_was_looked_for(moved: tuple[Records, StudyRow]) -> None:
    records, study = moved
    folder = records.engine.url.database
    assert folder is not None
    (Path(folder).parent / "mine.py").unlink()
    with pytest.raises(
        SpecChangedError, match=r"got none at .*/old/mine.py:Mine, nor in .*/new or .*; go to its folder"
    ):
        relocate(study, storage=f"sqlite:///{folder}")


def test_study_of_an_older_version_is_found_by_the_names_of_file_and_class(
    moved: tuple[Records, StudyRow], tmp_path: Path
) -> None:
    records, study = moved
    records.set_task(study, task=study.task, digest=None)
    study = records.study("mine")
    assert relocate(study, storage=_url(tmp_path / "new")).task == f"{tmp_path}/new/mine.py:Mine"
    file = load_spec(f"{tmp_path}/new/mine.yaml")
    assert take_over_spec(records, study=study, file=file, space=SPACE)[0].task_digest is not None


def test_code_that_was_changed_in_its_place_is_told_once(moved: tuple[Records, StudyRow], tmp_path: Path) -> None:
    records, study = moved
    file = load_spec(f"{tmp_path}/new/mine.yaml")
    study, _ = take_over_spec(records, study=study, file=file, space=SPACE)
    (tmp_path / "new" / "mine.py").write_text("class Mine: width = 3\n")
    study, changes = take_over_spec(records, study=study, file=file, space=SPACE)
    assert [(change.key, change.can_continue) for change in changes] == [("task", True)]
    assert take_over_spec(records, study=study, file=file, space=SPACE)[1] == ()


def test_study_that_was_given_up_is_open_once_it_is_started_again(
    moved: tuple[Records, StudyRow], tmp_path: Path
) -> None:
    """It stayed `stopped` while it ran, for whoever watched it, and for MLflow."""
    records, study = moved
    file = load_spec(f"{tmp_path}/new/mine.yaml")
    take_over_spec(records, study=study, file=file, space=SPACE)
    records.set_state(study, state=StudyState.STOPPED)
    study, changes = take_over_spec(records, study=records.study("mine"), file=file, space=SPACE)
    assert (study.state, study.ended_at, changes) == (StudyState.OPEN, None, ())
