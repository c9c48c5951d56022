"""``autotune study watch`` and ``autotune study logs``."""

import sys
from contextlib import closing

import click

from autotune.cli.main import INTERRUPTED_STATUS
from autotune.cli.options import Seconds, WholeNumber, progress_option, storage_option, study_argument


@click.command()
@study_argument
@click.option(
    "--interval",
    type=Seconds(min=0.1),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="Seconds between two looks at the storage.",
)
@click.option(
    "--wait",
    type=Seconds(min=0),
    metavar="SECONDS",
    default=None,
    help="How long to wait for a start that has just begun: 15 s for a study that is not there yet, 2 s for one that "
    "is over, unless given.",
)
@storage_option
@progress_option
def watch(*, name: str, interval: float, wait: float | None, storage: str, no_progress: bool) -> None:
    """Show a running study as its own terminal does, from any other one.

    It reads the storage alone, and so works from other machines and for every coordinator of
    the study. Epochs are shown as they end. It ends when the study does, with what was found, or
    with Ctrl-C, which leaves the study alone. In a pipe it prints a line for each event.
    """
    from autotune.cli.display.choice import choose_display
    from autotune.cli.output import echo_lines
    from autotune.report.summaries.reading import read_study
    from autotune.report.text.ending import found_lines
    from autotune.report.text.verdicts import verdict_lines
    from autotune.report.watching.following import Follower, await_study, follow

    with choose_display(no_progress=no_progress, waiting="reading the storage …") as display:
        try:
            await_study(storage, name=name, seconds=wait, note=display.note)
            with closing(Follower(storage, name=name, observer=display)) as follower:
                follow(follower, seconds=interval)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED_STATUS)
    found = read_study(storage, name=name)
    echo_lines((*found_lines(found.study), *(verdict_lines(found.verdict) if found.verdict is not None else ())))


@click.command()
@study_argument
@click.argument("number", metavar="N", type=WholeNumber(min=0))
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the trial ends.")
@click.option("--lines", "-n", type=WholeNumber(min=1), metavar="COUNT", help="Only the last so many lines.")
@storage_option
def logs(*, name: str, number: int, follow: bool, lines: int | None, storage: str) -> None:
    """Print what a trial wrote to its stdout and stderr.

    N is the trial's number. The log lies beside the storage, on the machine that trained the
    trial; of a very long one the middle is left out. How the trial ended stands on stderr.
    """
    from autotune.report.text.wording import one_line
    from autotune.report.watching.logs import find_log, read_log

    log = find_log(storage, name=name, number=number)
    try:
        for text in read_log(log, num_lines=lines, should_follow=follow):
            click.echo(text, nl=False)
        if log.ending is not None:
            reason = f": {one_line(log.ending.reason)}" if log.ending.reason else ""
            click.echo(f"trial {number} {log.ending.outcome.value}{reason}", err=True)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
    finally:
        log.close()
