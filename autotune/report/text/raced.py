"""Words that stand beside a race's winner wherever it is shown: lines to paste, and what it was not compared with."""

import datetime as dt
from collections.abc import Iterator, Sequence

from autotune.report.summaries.races import RaceSummary
from autotune.report.text.wording import format_parameters

NO_GUESS = "A race of a study is not compared with what an informed user would set: autotune speed does that."
PASTE = "for your script, each where its kind of thing is set up:"


def taken_over_words(race: RaceSummary, *, number: int) -> str:
    """One line that names the race outside of the study that the speed parameters of trial ``number`` come from."""
    where = f"in study {race.study}" if race.study is not None else "by autotune speed"
    ran_at = dt.datetime.fromtimestamp(race.created_at).astimezone() if race.created_at is not None else None
    when = f" on {ran_at:%Y-%m-%d %H:%M}" if ran_at is not None else ""
    workload = format_parameters(race.workload) or "the task as it is"
    return f"speed parameters of trial {number} as raced {where}{when}, of {workload}: {race.finding}"


def lines_to_paste(code: Sequence[str]) -> Iterator[str]:
    """The lines to paste, below one that says so; empty where there are none."""
    if code:
        yield ""
        yield f"# {PASTE}"
        yield from code
