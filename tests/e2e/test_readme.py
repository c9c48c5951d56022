import re
import shlex

import pytest
from click.testing import CliRunner

from autotune.cli.main import root
from tests.e2e.documents import ROOT, read_file, read_steps
from tests.e2e.home import Home

README = ROOT / "README.md"


@pytest.mark.slow
def test_own_task_of_the_readme_runs_as_it_stands_there(home: Home) -> None:
    for name in ("cells.py", "cells.yaml"):
        (home.folder / name).write_text(read_file(README, name))
    home.run("space", "check", "cells.yaml")
    quick = ("--set", "confirm={repeats: 0}", "--set", "log_model=false")
    home.run("study", "start", "cells.yaml", "--trials", "2", *quick)
    assert home.read("study", "trials", "cells")[0]["outcome"] == "complete"


ELSEWHERE = {
    "autotune dashboard": "tests/e2e/test_tutorial.py",
    "autotune mlflow": "tests/e2e/test_tutorial.py",
    "autotune space check cells.yaml": "the test above",
    "autotune study start cells.yaml": "the test above",
    "autotune study confirm mnist": "tests/e2e/test_confirm.py",
    "autotune study report mnist --ablate": "tests/e2e/test_confirm.py",
    "autotune init tuned --from train.py": "tests/e2e/test_tutorial.py",
    "autotune doctor": "tests/e2e/test_tutorial.py",
    "autotune speed cells.yaml": "tests/e2e/test_races.py",
    "autotune study import mnist --from sqlite:///old.db": "tests/coordinator/upkeep/test_importing.py",
}
"""Commands that other tests run, to their end or until Ctrl-C."""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_command_of_the_readme_runs_as_it_stands_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [step for step in read_steps(README) if step.command.startswith("autotune ")]
    assert {step.command for step in steps} >= set(ELSEWHERE)
    # The study of the README takes minutes: one of another task has its name here.
    (home.folder / "tiny.yaml").rename(home.folder / "mnist.yaml")
    home.run("study", "start", "mnist.yaml")
    monkeypatch.chdir(home.folder)
    for step in steps:
        if step.command not in ELSEWHERE:
            command, _, target = step.command.removeprefix("autotune ").partition(" > ")
            words = shlex.split(command.replace("study start --seconds", "study start mnist.yaml --seconds"))
            done = CliRunner().invoke(root, words, prog_name="autotune")
            assert done.exit_code == 0, f"{step.command}: {done.output}"
            assert step.is_as_printed(done.stdout)
            if target:
                compile(done.stdout, target, "exec")


def test_tests_that_run_the_other_commands_are_there() -> None:
    files = [place for place in ELSEWHERE.values() if place.endswith(".py")]
    assert [place for place in files if not (ROOT / place).exists()] == []


def test_every_picture_of_the_readme_is_there() -> None:
    pictures = re.findall(r"\]\((docs/pictures/[^)]+)\)", README.read_text())
    assert pictures
    assert [picture for picture in pictures if not (README.parent / picture).exists()] == []
