"""Options that several commands share, each declared once."""

import math
import os
from pathlib import Path
from typing import SupportsFloat, SupportsIndex

import click
from typing_extensions import override

from autotune.cli.names import complete_study
from autotune.report.text.places import DEFAULT_STORAGE, DEFAULT_TRACKING_URI

_MOST = 2**31 - 1
"""What a database's column of trial numbers holds at most; nothing else is counted further."""


class WholeNumber(click.IntRange):
    """A whole number in a range; click would tell of an "integer range" that was not typed."""

    name = "whole number"

    @override
    def convert(self, value: int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; raises click.BadParameter for anything else."""
        number = super().convert(value, param, ctx)
        if number > _MOST:
            self.fail(f"must be at most {_MOST:,}, got {value}; lower it", param, ctx)
        return number


_MOST_SECONDS = 1e9
"""About 30 years; the system's own waits take no more than nine times that."""


class Seconds(click.FloatRange):
    """A time in a range; a number, though neither NaN nor more than a clock can wait for."""

    name = "number"

    @override
    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; raises click.BadParameter for anything else."""
        seconds = super().convert(value, param, ctx)
        if not seconds <= _MOST_SECONDS:  # NaN neither
            self.fail(
                f"must be at most {_MOST_SECONDS:,.0f} seconds, got {value}; leave it out, or lower it", param, ctx
            )
        return seconds


class AnyNumber(click.types.FloatParamType):
    """A finite number without bounds: a range that has none is told as ``x<=None``."""

    name = "number"

    @override
    def convert(
        self, value: SupportsFloat | SupportsIndex, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; raises click.BadParameter for anything else."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"must be a finite number, got {value}", param, ctx)
        return number


class NamedPath(click.Path):
    """A path that was named: an empty one, as of a variable that is not set, would mean the working directory."""

    def __init__(self, *, dir_okay: bool = True, is_written: bool = False) -> None:
        """Anything may be there, or nothing, unless told otherwise.

        Args:
            dir_okay: Whether it may be a folder.
            is_written: It is to be written: the folder that it lies in must be there, before any work is done for it.
        """
        super().__init__(dir_okay=dir_okay, path_type=Path)
        self._is_written = is_written

    @override
    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """The path; raises click.BadParameter for an empty one, and for one that can't be written."""
        if not os.fspath(value):
            self.fail("must name a path, got nothing", param, ctx)
        folder = Path(value).parent
        if self._is_written and not folder.is_dir():
            self.fail(f"must lie in a folder that is there, got {os.fspath(value)!r}; make {folder} first", param, ctx)
        return super().convert(value, param, ctx)


def _not_empty(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    """Refuse an empty URI, which MLflow would take for a file of its own choosing."""
    if not value.strip():
        raise click.BadParameter("must name a database or a server, got nothing", ctx=ctx, param=parameter)
    return value


MAX_JOBS = 256
"""The most jobs: each is a process with torch, so a larger number must be a typing error."""

MOST_REPEATS = 100
"""The most trainings of one configuration; as in ``spec/confirming.py``, which a help text must not import."""

storage_option = click.option(
    "--storage",
    metavar="URL",
    envvar="AUTOTUNE_STORAGE",
    default=DEFAULT_STORAGE,
    show_default=True,
    show_envvar=True,
    help="Database with the studies: sqlite:///FILE or postgresql://HOST/NAME.",
)
tracking_option = click.option(
    "--tracking-uri",
    metavar="URI",
    callback=_not_empty,
    envvar="MLFLOW_TRACKING_URI",
    default=DEFAULT_TRACKING_URI,
    show_default=True,
    show_envvar=True,
    help="Where MLflow keeps its records: a database's URL, or a server's address.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
progress_option = click.option(
    "--no-progress", is_flag=True, help="One plain line per event, as without a terminal, in place of the live display."
)
trials_option = click.option(
    "--trials",
    type=WholeNumber(min=1),
    metavar="N",
    help="Trials that the study should have in all, over every start.",
)
seconds_option = click.option(
    "--seconds",
    type=Seconds(min=0, min_open=True),
    metavar="SECONDS",
    help="Seconds that the study may take in all, over every start.",
)
jobs_option = click.option(
    "--jobs",
    type=WholeNumber(min=1, max=MAX_JOBS),
    metavar="N",
    default=1,
    show_default=True,
    help="Trials that run at the same time, each on its own devices and cores.",
)
grace_option = click.option(
    "--grace",
    "grace_seconds",
    type=Seconds(min=0),
    metavar="SECONDS",
    default=30,
    show_default=True,
    help="For trials to write their checkpoints after Ctrl-C or SIGTERM; keep it below what Slurm or Kubernetes gives.",
)
spec_option = click.option(
    "--spec",
    "spec_path",
    type=NamedPath(dir_okay=False),
    metavar="FILE",
    help="Spec file of the study, for the values of parameters that are secrets: no study stores them.",
)
study_argument = click.argument("name", metavar="NAME", shell_complete=complete_study)
