"""What is said beside a race's winner wherever it is shown: the lines to paste, and what it was not compared with."""

import datetime as dt
from collections.abc import Iterator, Sequence

from autotune.report.summaries.races import RaceSummary
from autotune.report.text.wording import format_parameters

NO_GUESS = "A race of a study is not compared with what an informed user would set: autotune speed does that."
PASTE = "for your script, each where its kind of thing is set up:"


def taken_over_words(race: RaceSummary, *, number: int) -> str:
    """Where the speed parameters of the best trial, of this number, come from, which its own study has not raced."""
    where = f"in study {race.study}" if race.study is not None else "by autotune speed"
    ran_at = dt.datetime.fromtimestamp(race.created_at).astimezone() if race.created_at is not None else None
    when = f" on {ran_at:%Y-%m-%d %H:%M}" if ran_at is not None else ""
    workload = format_parameters(race.workload) or "the task as it is"
    return f"speed parameters of trial {number} as raced {where}{when}, of {workload}: {race.finding}"


def lines_to_paste(code: Sequence[str]) -> Iterator[str]:
    """What to paste, below a line that says so; nothing where there is nothing."""
    if code:
        yield ""
        yield f"# {PASTE}"
        yield from code
