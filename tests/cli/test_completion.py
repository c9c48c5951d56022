import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from autotune.cli.main import root
from autotune.spec.builtin import list_spaces
from tests.report.study_book import StudyBook


def _complete(line: str, *, folder: Path, storage: str | None = None) -> tuple[list[str], str]:
    """What TAB offers at the end of the line, and what it says on stderr."""
    environment = {
        **os.environ,
        "_AUTOTUNE_COMPLETE": "zsh_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    if storage is not None:
        environment["AUTOTUNE_STORAGE"] = storage
    command = [sys.executable, "-c", "from autotune.cli.main import main; main()"]
    answer = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert answer.returncode == 0
    return answer.stdout.splitlines()[1::3], answer.stderr


@pytest.mark.parametrize("command", ["show", "best", "trials", "resume", "delete", "sync", "rebuild-mlflow"])
def test_names_of_studies_complete(command: str, storage: str, tmp_path: Path) -> None:
    StudyBook(storage, name="digits-2")
    StudyBook(storage, name="digits-1")
    StudyBook(storage, name="mnist")
    names, error = _complete(f"autotune study {command} dig", folder=tmp_path, storage=storage)
    assert names == ["digits-1", "digits-2"]
    assert error == ""


def test_names_of_studies_complete_from_the_storage_on_the_line(storage: str, tmp_path: Path) -> None:
    StudyBook(storage, name="mnist")
    names, _ = _complete(f"autotune study show --storage {storage} m", folder=tmp_path)
    assert names == ["mnist"]


def test_names_of_specs_complete(tmp_path: Path) -> None:
    names, error = _complete("autotune study start m", folder=tmp_path)
    assert names == [name for name in list_spaces() if name.startswith("m")]
    assert error == ""


@pytest.mark.parametrize("storage", ["sqlite:///missing.db", "nonsense", "sqlite:///", "sqlite:///broken.db"])
def test_completion_offers_nothing_rather_than_fail(storage: str, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_text("no database")
    names, error = _complete("autotune study show ", folder=tmp_path, storage=storage)
    assert names == []
    assert error == ""
    assert not (tmp_path / "missing.db").exists()


def test_completion_offers_nothing_where_what_it_needs_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['sqlalchemy'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    names, error = _complete("autotune study show ", folder=tmp_path, storage="sqlite:///a.db")
    assert (names, error) == ([], "")


def test_completion_of_a_spec_falls_back_to_files(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "_AUTOTUNE_COMPLETE": "zsh_complete",
        "COMP_WORDS": "autotune study start ./my",
        "COMP_CWORD": "3",
    }
    command = [sys.executable, "-c", "from autotune.cli.main import main; main()"]
    answer = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert answer.stdout.splitlines()[0] == "file"


def test_help_shows_a_line_to_paste_for_each_shell() -> None:
    """They stood behind a literal backslash, run together into one paragraph."""
    lines = CliRunner().invoke(root, ["completion", "--help"], catch_exceptions=False).stdout.splitlines()
    assert """    zsh:   echo 'eval "$(autotune completion zsh)"' >> ~/.zshrc""" in lines
    assert "\\" not in "".join(lines)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_names_the_command_and_its_variable(shell: str) -> None:
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("click asks bash for its version")
    answer = CliRunner().invoke(root, ["completion", shell], catch_exceptions=False)
    assert "_AUTOTUNE_COMPLETE" in answer.stdout
    assert answer.exit_code == 0
