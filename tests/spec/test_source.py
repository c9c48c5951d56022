"""A task's code is known again, and found again where it was moved."""

from pathlib import Path

import pytest

from autotune.spec.source import find_moved, source_digest

TASK = "import nets\nfrom torch import nn\n\nclass Mine:\n    size = nets.SIZE  # of all\n"


def project(folder: Path, *, task: str = TASK, size: int = 4) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(task)
    (folder / "nets.py").write_text(f"SIZE = {size}\n")
    return f"{folder}/mine.py:Mine"


def test_code_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    digest = source_digest(project(tmp_path / "here"))
    assert digest is not None
    assert len(digest) == 32
    assert digest == source_digest(project(tmp_path / "there"))


@pytest.mark.parametrize("task", [f"# A comment.\n\n{TASK}", TASK.replace("  # of all", "   "), TASK + "\n\n"])
def test_comments_and_blank_lines_are_no_code(task: str, tmp_path: Path) -> None:
    assert source_digest(project(tmp_path / "a", task=task)) == source_digest(project(tmp_path / "b"))


def test_code_that_the_task_imports_from_beside_it_counts(tmp_path: Path) -> None:
    assert source_digest(project(tmp_path / "a", size=5)) != source_digest(project(tmp_path / "b"))


def test_file_that_the_task_does_not_import_does_not_count(tmp_path: Path) -> None:
    task = project(tmp_path)
    before = source_digest(task)
    (tmp_path / "other.py").write_text("x = 1\n")
    assert source_digest(task) == before


def test_relative_imports_of_a_package_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "lab"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text("from . import nets\nfrom .nets import SIZE\nclass Mine: pass\n")
    (package / "nets.py").write_text("SIZE = 4\n")
    before = source_digest("lab.tasks:Mine")
    (package / "nets.py").write_text("SIZE = 5\n")
    assert before is not None
    assert source_digest("lab.tasks:Mine") not in {None, before}


def test_installed_task_is_its_own_file_alone() -> None:
    assert source_digest("autotune.tasks.digits:Digits") is not None


@pytest.mark.parametrize("task", ["gone.py:Mine", "no.such.module:Mine"])
def test_task_without_a_source_has_no_digest(task: str) -> None:
    assert source_digest(task) is None


def test_file_that_is_no_python_is_known_again_as_well(tmp_path: Path) -> None:
    assert source_digest(project(tmp_path / "a", task="def (")) == source_digest(project(tmp_path / "b", task="def ("))


@pytest.mark.parametrize("start", ["new", "new/lab"])
def test_moved_task_is_found_as_far_below_as_it_lay(start: str, tmp_path: Path) -> None:
    old = project(tmp_path / "old" / "lab")
    digest = source_digest(old)
    (tmp_path / "old").rename(tmp_path / "new")
    found = find_moved(old, digest=digest, folders=[tmp_path / start])
    assert found == f"{tmp_path}/new/lab/mine.py:Mine"


def test_of_two_files_of_that_name_the_one_with_the_same_code_is_the_task(tmp_path: Path) -> None:
    old = project(tmp_path / "old" / "lab")
    digest = source_digest(old)
    (tmp_path / "old").rename(tmp_path / "new")
    project(tmp_path / "new", task="class Mine: pass\n")
    assert find_moved(old, digest=digest, folders=[tmp_path / "new"]) == f"{tmp_path}/new/lab/mine.py:Mine"
    assert find_moved(old, digest=None, folders=[tmp_path / "new"]) == f"{tmp_path}/new/lab/mine.py:Mine"


def test_task_that_is_nowhere_is_not_found(tmp_path: Path) -> None:
    assert find_moved(f"{tmp_path}/old/mine.py:Mine", digest=None, folders=[tmp_path]) is None
    assert find_moved("lab.tasks:Mine", digest=None, folders=[tmp_path]) is None
