"""What a command says that Ctrl-C ends when it has done a part of its work, or all of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from autotune.cli.main import INTERRUPTED_STATUS

if TYPE_CHECKING:
    from autotune.coordinator.interrupts import Interrupts

_AT_ITS_END = "Stopped when all was done; what came of it is shown."


@contextmanager
def telling_of_the_rest(line: str) -> Iterator[None]:
    """Where Ctrl-C ends the block, say on stderr what is left and what does it, and end with the status for that."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(line, err=True)
        sys.exit(INTERRUPTED_STATUS)


def exit_if_stopped(interrupts: "Interrupts", *, is_told: bool) -> None:
    """End with the status for it where a signal came; called once what was found is shown.

    Args:
        interrupts: Counts the signals since the work was done.
        is_told: One came before, or a line has told of it already.
    """
    if not is_told and interrupts.should_stop:
        click.echo(_AT_ITS_END, err=True)
    if is_told or interrupts.should_stop:
        sys.exit(INTERRUPTED_STATUS)
