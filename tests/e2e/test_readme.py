import re
from pathlib import Path

import pytest

from tests.e2e.home import Home

README = Path(__file__).parents[2] / "README.md"


def _block(language: str, marker: str) -> str:
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)
    return next(block for block in blocks if marker in block)


@pytest.mark.slow
def test_own_task_of_the_readme_runs_as_it_stands_there(home: Home) -> None:
    (home.folder / "cells.py").write_text(_block("python", "class Cells"))
    (home.folder / "cells.yaml").write_text(_block("yaml", "cells.py:Cells"))
    home.run("study", "start", "cells.yaml", "--trials", "2")
    assert home.read("study", "trials", "cells")[0]["outcome"] == "complete"


def test_every_command_of_the_readme_exists(home: Home) -> None:
    commands = re.findall(r"^\$ autotune ([a-z]+(?: [a-z]+)?)", README.read_text(), flags=re.MULTILINE)
    assert commands
    for words in commands:
        assert "Usage:" in home.run(*words.split(), "--help").stdout


def test_every_picture_of_the_readme_is_there() -> None:
    pictures = re.findall(r"\]\((docs/pictures/[^)]+)\)", README.read_text())
    assert pictures
    assert [picture for picture in pictures if not (README.parent / picture).exists()] == []
