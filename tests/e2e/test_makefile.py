"""What `make` does, as it says with --dry-run: a set-up takes minutes and a network."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.documents import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def _make(*arguments: str) -> str:
    """What it prints, as in a shell of one's own: under ``make test`` it would be told that it is a part of that."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=20
    ).stdout


def _dry_run(*targets: str, venv: Path) -> str:
    return _make("--dry-run", *targets, f"VENV={venv}")


def test_every_target_is_listed() -> None:
    listed = _make()
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    assert phony is not None
    assert [line.split()[1] for line in listed.splitlines()] == phony[1].split()


def test_the_first_study_sets_up_the_package_without_the_tools_of_its_developers(tmp_path: Path) -> None:
    said = _dry_run("study", venv=tmp_path)
    assert "--editable ." in said
    assert "--group" not in said


@pytest.mark.parametrize("target", ["test", "check", "bench", "faults", "gpu"])
def test_what_developers_run_sets_up_their_tools_too(target: str, tmp_path: Path) -> None:
    said = _dry_run(target, venv=tmp_path)
    assert said.index("--editable .") < said.index("--group dev")


def test_a_set_up_is_done_once(tmp_path: Path) -> None:
    (tmp_path / ".ready").touch()
    (tmp_path / ".ready-dev").touch()
    assert "pip install" not in _dry_run("study", "check", venv=tmp_path)
