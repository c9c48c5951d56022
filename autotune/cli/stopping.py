"""What a command says that Ctrl-C ends when it has done a part of its work."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from autotune.cli.main import INTERRUPTED_STATUS


@contextmanager
def telling_of_the_rest(line: str) -> Iterator[None]:
    """Where Ctrl-C ends the block, say on stderr what is left and what does it, and end with the status for that."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(line, err=True)
        sys.exit(INTERRUPTED_STATUS)
