import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autotune", *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ.copy(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "list"),
        ("study", "show", "mnist"),
        ("study", "best", "mnist", "--json"),
        ("study", "trials", "mnist"),
        ("study", "resume", "mnist"),
        ("study", "delete", "mnist", "--yes"),
        ("study", "start", "no_such_space"),
        ("study", "list", "--storage", "nonsense"),
        ("space", "show", "no_such_space"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_status_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    answer = run(*arguments, folder=tmp_path)
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: ")
    assert len(answer.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("study", "start", "--jobs", "0"),
        ("study", "start", "--trials", "x"),
        ("study", "best"),
        ("study", "start", "-q"),
    ],
)
def test_wrong_usage_has_status_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    answer = run(*arguments, folder=tmp_path)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_version_is_the_distribution_s(tmp_path: Path) -> None:
    answer = run("--version", folder=tmp_path)
    assert answer.returncode == 0
    assert answer.stdout.startswith("autotune, version ")
