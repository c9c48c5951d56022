import subprocess
from pathlib import Path

from autotune.coordinator.opening.provenance import git_commit


def _git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_the_repository_that_holds_the_task(tmp_path: Path) -> None:
    task = tmp_path / "task.py"
    task.write_text("x = 1\n")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-q", "-m", "first")
    commit = _git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(f"{task}:Task") == commit
    task.write_text("x = 2\n")
    assert git_commit(f"{task}:Task") == f"{commit}-dirty"


def test_no_repository_is_no_commit(tmp_path: Path) -> None:
    assert git_commit(f"{tmp_path / 'task.py'}:Task") is None
