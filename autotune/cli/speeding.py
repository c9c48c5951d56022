"""``autotune speed``."""

import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import click
from typing_extensions import override

from autotune.cli.main import INTERRUPTED_STATUS
from autotune.cli.names import complete_space
from autotune.cli.options import Seconds, WholeNumber, json_option, storage_option

if TYPE_CHECKING:
    from autotune.report.text.speeds import SpeedSummary
    from autotune.spec.load import SpecFile

_BATCH_SIZE = "--batch-size"
_SIZE = re.compile(r"[\d.,]+|max")
"""Matches a word that was meant as a batch size, even one that is no valid size."""


class BatchSize(click.ParamType[int | Literal["max"]]):
    """A number of samples, or ``max``."""

    name = "batch size"

    @override
    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["max"]:
        if value == "max":
            return "max"
        if not value.isdecimal() or int(value) < 1:
            rule = "must be whole numbers above 0, or max, with spaces between them"
            self.fail(f"{rule}, got {value!r}", param, ctx)
        return int(value)


class RacingCommand(click.Command):
    """A command whose ``--batch-size`` takes all the sizes behind it, and not the first alone.

    click's options take a fixed number of words, since a variable number could be confused with arguments.
    Sizes can't be: no task is written like one.
    """

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse like click, after repeating the option before each further size."""
        words: list[str] = []
        is_size = False
        for before, word in pairwise(["", *args]):
            is_first = before == _BATCH_SIZE
            is_size = is_first or (is_size and _SIZE.fullmatch(word) is not None)
            words += [word] if is_first or not is_size else [_BATCH_SIZE, word]
            is_size = is_size or word.startswith(f"{_BATCH_SIZE}=")
        return super().parse_args(ctx, words)


@click.command(cls=RacingCommand)
@click.argument("task", shell_complete=complete_space)
@click.option(
    "--space",
    metavar="SPEC",
    shell_complete=complete_space,
    help="Study spec whose baseline and speed section TASK is raced with.",
)
@click.option(
    _BATCH_SIZE,
    "batch_sizes",
    type=BatchSize(),
    multiple=True,
    metavar="N...",
    help="Race with each of these batch sizes; max is the largest that fits.",
)
@click.option(
    "--seconds",
    type=Seconds(min=1),
    metavar="SECONDS",
    help="What a race may take; unless given, 120, and 600 where the device has no room for two of the trainings. A "
    "confirmation that takes longer than expected ends later, and the race says by how much; what would not be over "
    "after one and a half times that is not waited for.",
)
@click.option(
    "--epochs",
    type=WholeNumber(min=1),
    metavar="N",
    help="Epochs of your training: what compilation has to repay itself in; unless given, the spec's, or 10.",
)
@click.option("--name", metavar="NAME", help="The race is kept as the Optuna study NAME.speed.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the spec.")
@storage_option
@json_option
def speed(
    *,
    task: str,
    space: str | None,
    batch_sizes: tuple[int | Literal["max"], ...],
    seconds: float | None,
    epochs: int | None,
    name: str | None,
    overrides: tuple[str, ...],
    storage: str,
    as_json: bool,
) -> None:
    """Find what makes a training faster on this machine, in seconds.

    TASK is a study spec (a file, or the name of one that comes with the package), or a task:
    package.module:Class or file.py:Class, which trains with its own defaults unless --space names a
    spec. The knobs of a spec's speed section are raced, whatever its speed_search is; without such a
    section, and for a task, all that apply.

    Real training steps are timed in alternating blocks: first what a step waits for, then the
    knobs that can move it, one at a time, then the winners together. Nothing is learned; the
    result is kept, and later studies of this task on this machine start from it.

    JSON: a list of races with the keys task, device, num_cores, workload, result, code, doubt (which
    gains are vague, and why); where a race fails, those before it, and none is an empty list. After a
    batch that runs out of memory the smaller ones are raced, and the status is 1.
    """
    from autotune.cli.display.race import RaceLines
    from autotune.cli.output import echo_json
    from autotune.outages import waiting_out
    from autotune.report.text.speeds import summarise_race
    from autotune.speed.measuring.arena import ContestantLostError

    file = _spec(task, space=space, epochs=epochs, overrides=overrides)
    from autotune.coordinator.races.alone import SECONDS, SECONDS_IN_TURNS, SpeedOrder, race_task

    order = SpeedOrder(
        file=file,
        name=name or file.name,
        storage=storage,
        batch_sizes=batch_sizes,
        seconds=seconds if seconds is not None else SECONDS,
        seconds_in_turns=seconds if seconds is not None else SECONDS_IN_TURNS,
    )
    summaries: list[SpeedSummary] = []
    told = RaceLines()
    try:
        with waiting_out(lambda line: click.echo(line, err=True)):
            for raced in race_task(order, watch=told.watch):
                summary = summarise_race(raced)
                summaries.append(summary)
                if not as_json:
                    _print_race(summary, heading=raced.workload.words if len(batch_sizes) > 1 else None)
    except ContestantLostError as error:
        told.lost(error)
        raise
    except KeyboardInterrupt:
        told.stopped(name=order.name, num_done=len(summaries))
        sys.exit(INTERRUPTED_STATUS)
    finally:
        if as_json:
            echo_json(summaries)


def _print_race(summary: "SpeedSummary", *, heading: str | None) -> None:
    from autotune.cli.output import echo_lines, print_table
    from autotune.report.text.raced import lines_to_paste
    from autotune.report.text.speeds import HEAT_COLUMNS, ending_lines, heat_rows

    click.echo()
    if heading is not None:
        click.echo(f"{heading}:\n")
    if summary.result.heats:
        print_table(HEAT_COLUMNS, heat_rows(summary.result.heats))
        click.echo()
    echo_lines(ending_lines(summary))
    for line in lines_to_paste(summary.code):
        click.echo(line)
    click.echo()


def _spec(task: str, *, space: str | None, epochs: int | None, overrides: tuple[str, ...]) -> "SpecFile":
    from autotune.spec.load import load_spec, task_spec
    from autotune.spec.overrides import Override

    own: list[Override] = []
    if epochs is not None:
        own.append(Override(key=("budget", "epochs"), value=epochs, typed=f"--epochs {epochs}"))
    if space is not None:
        own.append(Override(key=("task",), value=task, typed=f"TASK {task}"))
        return load_spec(space, overrides=[*overrides, *own], called="--space", needs_search=False)
    if ":" not in task:
        return load_spec(task, overrides=[*overrides, *own], called="TASK", needs_search=False)
    if overrides:
        raise click.UsageError("--set: changes a spec, and TASK is none; name a spec with --space")
    return task_spec(task, epochs=epochs or 10)
