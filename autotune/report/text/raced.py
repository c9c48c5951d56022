"""Words that stand beside a race's figures wherever they are shown: what was around, lines to paste, and more."""

import datetime as dt
from collections.abc import Iterator, Sequence

from autotune.report.summaries.races import RaceSummary
from autotune.report.text.wording import format_parameters
from autotune.speed.measuring.statistics import Range
from autotune.speed.racing.result import Surroundings

NO_GUESS = "A race of a study is not compared with what an informed user would set: autotune speed does that."
PASTE = "for your script, each where its kind of thing is set up:"


def taken_over_words(race: RaceSummary, *, number: int) -> str:
    """One line that names the race outside of the study that the speed parameters of trial ``number`` come from."""
    where = f"in study {race.study}" if race.study is not None else "by autotune speed"
    ran_at = dt.datetime.fromtimestamp(race.created_at).astimezone() if race.created_at is not None else None
    when = f" on {ran_at:%Y-%m-%d %H:%M}" if ran_at is not None else ""
    workload = format_parameters(race.workload) or "the task as it is"
    return f"speed parameters of trial {number} as raced {where}{when}, of {workload}: {race.finding}"


def surroundings_words(surroundings: Surroundings | None) -> str:
    """What was around while a throughput was measured; counts that are 0 and what nobody knows are left out."""
    if surroundings is None:
        return ""
    ranges = (
        ("load", surroundings.load, ".1f", ""),
        ("clock", surroundings.clock_mhz, ",.0f", " MHz"),
        ("temperature", surroundings.temperature_celsius, ".0f", " °C"),
    )
    told = [f"{name} {_span(seen, form)}{unit}" for name, seen, form, unit in ranges if seen is not None]
    counts = (
        ("allocator retries", surroundings.allocator_retries),
        ("recompilations", surroundings.recompilations),
    )
    return ", ".join([*told, *(f"{name} {number}" for name, number in counts if number)])


def _span(seen: Range, form: str) -> str:
    low, high = (format(bound, form) for bound in seen)
    return low if low == high else f"{low} to {high}"


def lines_to_paste(code: Sequence[str]) -> Iterator[str]:
    """The lines to paste, below one that says so; empty where there are none."""
    if code:
        yield ""
        yield f"# {PASTE}"
        yield from code
