import click
import pytest
from click.testing import CliRunner

from autotune.cli.speeding import speed


@pytest.mark.parametrize(
    "line",
    [
        "cells.yaml --batch-size 64 256 max",
        "--batch-size 64 256 max cells.yaml",
        "--batch-size 64 256 max --seconds 5 cells.yaml",
        "--batch-size=64 256 cells.yaml --batch-size max",
        "--batch-size 64 --batch-size 256 --batch-size max -- cells.yaml",
    ],
)
def test_batch_sizes_are_all_that_follow_their_option(line: str) -> None:
    parameters = speed.make_context("speed", line.split()).params
    assert parameters["batch_sizes"] == (64, 256, "max")
    assert parameters["task"] == "cells.yaml"


def test_task_of_a_space_that_is_no_task_is_called_what_was_typed() -> None:
    """The error was one of --set task=cells.yaml, which nobody had typed."""
    answer = CliRunner().invoke(speed, ["cells.yaml", "--space", "digits"])
    assert str(answer.exception).startswith("TASK cells.yaml: task: must name a module or file, and a class")


def test_task_behind_a_batch_size_is_no_batch_size() -> None:
    assert speed.make_context("speed", ["--batch-size", "64", "3d.py:Net"]).params["task"] == "3d.py:Net"


@pytest.mark.parametrize(
    "line", ["cells.yaml --batch-size 64 0", "cells.yaml --batch-size 0", "cells.yaml --batch-size 64 0,5"]
)
def test_each_batch_size_is_checked(line: str) -> None:
    with pytest.raises(
        click.BadParameter, match=r"must be whole numbers above 0, or max, with spaces between them, got '0"
    ):
        speed.make_context("speed", line.split())


def test_batch_sizes_with_a_comma_between_them_are_told_what_goes_there() -> None:
    with pytest.raises(click.BadParameter, match=r"with spaces between them, got '64,256'"):
        speed.make_context("speed", ["cells.yaml", "--batch-size", "64,256"])


def test_batch_sizes_alone_leave_the_task_to_be_named() -> None:
    with pytest.raises(click.MissingParameter, match="task"):
        speed.make_context("speed", ["--batch-size", "64", "256"])
