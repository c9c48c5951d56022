import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from autotune.cli.lazy import LazyCommand, LazyGroup
from autotune.cli.main import root

HEAVY = ("torch", "optuna", "mlflow", "sqlalchemy", "rich", "pydantic", "ruamel.yaml")

SHOW_HELP = """
import contextlib, io, sys
from autotune.cli.main import root
out = io.StringIO()
with contextlib.redirect_stdout(out):
    status = root.main(sys.argv[1].split() + ["--help"], prog_name="autotune", standalone_mode=False)
assert out.getvalue().startswith("Usage: autotune"), out.getvalue()
print(*(name for name in sys.argv[2].split() if name in sys.modules))
"""


def _paths(group: LazyGroup, path: str = "") -> Iterator[tuple[str, LazyCommand]]:
    for name, entry in group.lazy.items():
        here = f"{path} {name}".strip()
        yield here, entry
        command = _load(entry)
        if isinstance(command, LazyGroup):
            yield from _paths(command, here)


def _load(entry: LazyCommand) -> object:
    module, _, attribute = entry.location.partition(":")
    return getattr(import_module(module), attribute)


ALL = dict(_paths(root))


@pytest.mark.parametrize("path", ["", *ALL])
def test_help_imports_nothing_heavy(path: str) -> None:
    command = [sys.executable, "-c", SHOW_HELP, path, " ".join(HEAVY)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.strip() == ""


@pytest.mark.parametrize("path", ["", *ALL])
def test_help_tells_no_bound_and_no_default_that_is_none(path: str) -> None:
    answer = CliRunner().invoke(root, [*path.split(), "--help"], prog_name="autotune")
    assert answer.exit_code == 0
    assert "None" not in answer.output
    assert "[default: (" not in answer.output


@pytest.mark.parametrize("path", ALL)
def test_listing_and_command_say_the_same(path: str) -> None:
    command = _load(ALL[path])
    assert isinstance(command, click.Command)
    assert command.help is not None
    assert ALL[path].summary == " ".join(command.help.split("\n\n")[0].split())


@pytest.mark.parametrize("path", ALL)
def test_command_is_called_what_the_listing_calls_it(path: str) -> None:
    command = _load(ALL[path])
    assert isinstance(command, click.Command)
    assert command.name == path.rsplit(maxsplit=1)[-1]


def test_unknown_command_names_the_nearest() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "autotune", "stduy"], capture_output=True, text=True, check=False, timeout=30
    )
    assert answer.returncode == 2
    assert "No such command 'stduy'. Did you mean 'study'?" in answer.stderr
    assert answer.stdout == ""


def test_command_of_a_group_is_told_with_its_group() -> None:
    with pytest.raises(click.UsageError, match="Did you mean 'study best'"):
        root.main(["best", "mnist"], prog_name="autotune", standalone_mode=False)
