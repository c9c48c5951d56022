from pathlib import Path

import pytest

from autotune.errors import RunError
from autotune.report.export.script.task_source import read_task_source


def _task(folder: Path, text: str) -> str:
    (folder / "mine.py").write_text(text)
    return f"{folder}/mine.py:Mine"


def test_imports_of_autotune_are_gone_and_renamed_ones_keep_their_name(tmp_path: Path) -> None:
    text = (
        "from autotune.training import (\n    Task as Base,\n    InfeasibleError,\n)\n\nclass Mine(Base):\n    pass\n"
    )
    found = read_task_source(_task(tmp_path, text))
    assert found.kind == "class"
    assert "autotune" not in found.text
    assert "Base = Task\n" in found.text


def test_what_runs_as_a_program_alone_is_left_out(tmp_path: Path) -> None:
    text = 'class Mine:\n    pass\n\nif __name__ == "__main__":\n    print("hello")\n'
    assert "hello" not in read_task_source(_task(tmp_path, text)).text


def test_imports_of_a_program_leave_nothing_behind(tmp_path: Path) -> None:
    text = (
        "class Mine:\n    pass\n\nif __name__ == '__main__':\n"
        "    from autotune.training import Task\n    from autotune.cli import main\n    import autotune\n    main()\n"
    )
    compile(found := read_task_source(_task(tmp_path, text)).text, "script", "exec")
    assert "autotune" not in found


def test_names_that_are_imported_count_as_the_modules_own(tmp_path: Path) -> None:
    text = (
        "from torch import nn\nfrom autotune.training import Task\nfrom steps import step, go as prepare\n"
        "import math as Factor\n\nclass Mine(Task):\n    pass\n"
    )
    assert read_task_source(_task(tmp_path, text)).names == {"step", "prepare", "Factor", "Mine"}


def test_packages_that_it_needs_are_named(tmp_path: Path) -> None:
    text = "import os\nimport numpy.random\nfrom sklearn.datasets import load_digits\n\nclass Mine:\n    pass\n"
    assert read_task_source(_task(tmp_path, text)).modules == ("numpy", "sklearn")


def test_a_module_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "pack" / "mine.py").write_text("from .other import x\nfrom . import y\n\ndef train(trial):\n    pass\n")
    monkeypatch.chdir(tmp_path)
    found = read_task_source("pack.mine:train")
    assert found.kind == "function"
    assert found.text.splitlines()[:2] == ["from pack.other import x", "from pack import y"]
    assert found.modules == ("pack",)
    assert found.roots == (tmp_path,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import autotune.training\n\nclass Mine:\n    pass\n", "got import autotune in line 1"),
        ("from autotune.speed import race\n\nclass Mine:\n    pass\n", r"got autotune.speed.race in line 1"),
        ("from other import Mine\n", "a script needs the task to be defined in"),
    ],
)
def test_what_a_script_can_not_stand_in_for_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        read_task_source(_task(tmp_path, text))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a script repeats its source, got no file"):
        read_task_source(f"{tmp_path}/gone.py:Mine")
