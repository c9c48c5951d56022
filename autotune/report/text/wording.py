"""How numbers, times and parameters read in a line of text."""

import datetime as dt
import math
from collections.abc import Iterable, Mapping

from autotune.events import Scalar
from autotune.figures import format_figure
from autotune.recording.mlflow.run_contents import show_value
from autotune.shortages import shorten

NOTHING = "-"
"""Shown where there is no value."""


def format_metric(value: float | None) -> str:
    """A metric in five significant digits, which tell apart two accuracies on 10,000 samples."""
    return NOTHING if value is None else format_figure(value, digits=5)


def format_gain(gain: float | None) -> str:
    """A signed difference, to three digits."""
    return NOTHING if gain is None else format_figure(gain, digits=3, is_signed=True)


CONTENDED_NOTE = "* measured while other trials ran on the same machine: not to be compared"


def format_rate(samples_per_second: float | None, *, is_contended: bool = False) -> str:
    """Samples per second; with a decimal below ten, and marked for ``CONTENDED_NOTE`` where it is contended."""
    if samples_per_second is None or not math.isfinite(samples_per_second):
        return NOTHING
    mark = "*" if is_contended else ""
    return f"{samples_per_second:,.{1 if samples_per_second < 10 else 0}f}{mark}"  # noqa: PLR2004


def format_share(share: float | None) -> str:
    """A share of 0 to 1 in percent."""
    return NOTHING if share is None or not math.isfinite(share) else f"{share:.0%}"


def format_clock(seconds: float | None) -> str:
    """A span in whole seconds, such as ``0:07``, ``12:40`` or ``1:02:40``."""
    if seconds is None:
        return NOTHING
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_moment(at: float) -> str:
    """Seconds since 1970 as local time such as ``23:54``; with the date where that is not today."""
    moment = dt.datetime.fromtimestamp(at).astimezone()
    is_today = moment.date() == dt.datetime.now().astimezone().date()
    return moment.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M")


def format_duration(seconds: float | None) -> str:
    """A span in three digits with a unit, down to milliseconds: ``85 ms``, ``3.21 s``, ``140 s``."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    return f"{seconds * 1000:.3g} ms" if seconds < 0.1 else f"{format_figure(seconds, digits=3)} s"  # noqa: PLR2004


def lines_by_reason(left_out: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each reason, with the names of what is left out for it."""
    names: dict[str, list[str]] = {}
    for name, reason in left_out:
        names.setdefault(reason, []).append(name)
    return [f"{', '.join(each)}: {reason}" for reason, each in names.items()]


def format_scalar(value: Scalar) -> str:
    """A parameter's value as MLflow's run names have it: ``3e-3``, ``0.5``, ``true``."""
    return "null" if value is None else show_value(value)


def format_parameters(parameters: Mapping[str, Scalar]) -> str:
    """Parameters in the order given, such as ``optimizer adam · lr 1e-3 · batch_size 64``."""
    return " · ".join(f"{name} {format_scalar(value)}" for name, value in parameters.items())


def one_line(text: str) -> str:
    """The text without line breaks and control characters, so that no message of a task can drive the terminal.

    What torch says at length of memory that ran out is said in short.
    """
    words = "".join(character if character.isprintable() else " " for character in text).split()
    return shorten(" ".join(words))


def name_trials(numbers: Iterable[int]) -> str:
    """Such as ``trials 0 to 3, 5`` by their numbers; ``none`` where there is none."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    told = ", ".join(" to ".join(map(str, run)) for run in runs)
    return f"trial{'' if told.isdecimal() else 's'} {told}" if told else "none"
