from pathlib import Path

import click
import pytest

from autotune.cli.storage.keeping import backup
from autotune.cli.study.exporting import export
from autotune.cli.study.following import logs
from autotune.cli.study.reporting import report
from autotune.cli.trial.replaying import replay


@pytest.mark.parametrize(("command", "words"), [(logs, ("mnist",)), (replay, ("mnist",))])
def test_number_that_no_database_holds_is_refused(command: click.Command, words: tuple[str, ...]) -> None:
    """SQLite's driver raised OverflowError, of which the traceback was shown."""
    assert command.make_context("it", [*words, "2147483647"]).params["number"] == 2**31 - 1
    with pytest.raises(click.BadParameter, match="must be at most 2,147,483,647, got 2147483648; lower it"):
        command.make_context("it", [*words, "2147483648"])


WRITING = [(report, ("mnist", "--output")), (export, ("mnist", "--output")), (backup, ())]


@pytest.mark.parametrize(("command", "words"), WRITING)
def test_file_in_a_folder_that_is_not_there_is_refused_before_any_work(
    command: click.Command, words: tuple[str, ...], tmp_path: Path
) -> None:
    """A report with --ablate trained for hours before."""
    command.make_context("it", [*words, str(tmp_path / "file.csv")])
    with pytest.raises(click.BadParameter, match=r"must lie in a folder that is there, got .*; make .*missing first"):
        command.make_context("it", [*words, str(tmp_path / "missing" / "file.csv")])


@pytest.mark.parametrize(("command", "words"), WRITING)
def test_path_of_no_letters_is_refused(command: click.Command, words: tuple[str, ...]) -> None:
    """It meant the working directory."""
    with pytest.raises(click.BadParameter, match="must name a path, got nothing"):
        command.make_context("it", [*words, ""])
