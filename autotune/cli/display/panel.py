"""What the live display shows of a study: how it stands, then a line for each running trial."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autotune.cli.display.sparkline import Sparkline
from autotune.coordinator.observer import Ending, SideView, StudyView, TrialView
from autotune.disk import format_bytes
from autotune.events import EpochReport, Outcome, Progress, Started
from autotune.report.text.wording import (
    NOTHING,
    format_clock,
    format_gain,
    format_metric,
    format_parameters,
    format_rate,
    format_share,
    one_line,
)

_STYLES = {
    Outcome.COMPLETE.value: "green",
    Outcome.PRUNED.value: "yellow",
    Outcome.DIVERGED.value: "magenta",
    Outcome.INFEASIBLE.value: "magenta",
    Outcome.TIMED_OUT.value: "red",
    Outcome.FAILED.value: "red",
    Outcome.INTERRUPTED.value: "cyan",
}
_COLUMN_WIDTHS = {"trial": 5, "of": 6, "metric": 12, "samples/s": 9}
_MORE_WIDTHS = {"wait": 5, "memory": 8}
"""Widths of columns that only wide terminals show. Widths are fixed, so that nothing jumps while numbers change;
with these two columns and a bar of 7 a line fills 58 columns."""
_BAR_WIDTH = 7
_LEAST_HEIGHT = 16
"""A terminal with fewer rows shows neither the curve nor reasons, since running trials come first."""
_LEAST_POINTS = 2
"""The fewest values that are drawn as a curve."""
_MIN_PARAMETERS_WIDTH = 20
"""With less room than this, the display does not say what a trial trains with."""


@dataclass
class RunningTrial:
    """The latest news of a running trial."""

    view: TrialView
    epoch: int = 0
    """The epoch in training, counted from 1; 0 before training begins."""
    fraction: float = 0.0
    objective: float | None = None
    samples_per_second: float | None = None
    data_wait_share: float | None = None
    peak_memory_bytes: int | None = None
    """Peak memory over its ended epochs, in bytes; None before the first one ends."""

    def start(self, event: Started) -> None:
        """Take that training begins, perhaps after epochs that a checkpoint brought."""
        self.epoch, self.fraction = event.epochs_done + 1, 0.0

    def progress(self, event: Progress) -> None:
        """Take how far the trial is within an epoch."""
        self.epoch, self.fraction = event.epoch, event.fraction
        self.samples_per_second, self.data_wait_share = event.samples_per_second, event.data_wait_share

    def report(self, report: EpochReport, *, metric: str) -> None:
        """Take the report of an ended epoch."""
        self.epoch, self.fraction = report.epoch, 1.0
        self.objective = report.metrics.get(metric, self.objective)
        self.samples_per_second, self.data_wait_share = report.samples_per_second, report.data_wait_share
        self.peak_memory_bytes = max(report.peak_memory_bytes, self.peak_memory_bytes or 0)

    @property
    def epochs_done(self) -> float:
        """Epochs trained so far, with the part of the one in training."""
        return max(0.0, self.epoch - 1 + self.fraction)


def render_panel(study: StudyView, running: Sequence[RunningTrial], *, width: int, height: int) -> RenderableType:
    """The study and its running trials, within a terminal of this size."""
    parts: list[RenderableType] = [_head_line(study), _time_line(study), _outcome_line(study)]
    training = {trial.view.side for trial in running}
    lines = [_side_line(side, study, is_running=side.name in training) for side in study.sides]
    parts += lines or [_best_line(study)]
    if height >= _LEAST_HEIGHT:
        parts += _course_lines(study) if not study.sides else []
        parts += [_ending_line(ending) for ending in (study.last_pruned, study.last_failed) if ending is not None]
    # Around the parts: an empty line, the table's header, what does not fit, the line of the cursor, one that wraps.
    room = max(1, height - len(parts) - 5)
    if running and study.is_run:
        parts.append(_running_table(study, running[:room], width=width))
    if len(running) > room and study.is_run:
        parts.append(Text(f"and {len(running) - room} more running", style="dim"))
    return Group(Text(""), *parts)


def seconds_left(study: StudyView) -> float | None:
    """Seconds until the budget ends, by its time or by the trials' pace; None where neither tells, or nobody runs it.

    The time of a running race comes before that of the remaining trials; races don't count for the trials' pace.
    """
    if not study.is_run:
        return None
    done = sum(study.outcomes.values())
    known = []
    if study.total_seconds is not None:
        known.append(study.total_seconds - study.elapsed_seconds)
    if study.total_trials is not None and done:
        race_left = max(0.0, study.race_ends_at - study.elapsed_seconds) if study.race_ends_at is not None else 0.0
        known.append((study.total_trials - done) * study.trial_seconds / done + race_left)
    return max(0.0, min(known)) if known else None


def _head_line(study: StudyView) -> Text:
    done = sum(study.outcomes.values())
    of_total = f" of {study.total_trials}" if study.total_trials is not None else ""
    what = "trainings on fresh seeds" if study.sides else "trials"
    now = "racing speed parameters" if study.is_racing else f"{study.num_running} running"
    now = now if study.is_run else "nobody runs it now"
    return _cropped((study.name, "bold"), f"  {done}{of_total} {what}, {now}")


def _time_line(study: StudyView) -> Text:
    text = format_clock(study.elapsed_seconds)
    if study.total_seconds is not None:
        text += f" of {format_clock(study.total_seconds)}"
    left = seconds_left(study)
    if left is not None:
        end = dt.datetime.now().astimezone() + dt.timedelta(seconds=left)
        text += f", ends in about {format_clock(left)}, at {end:%H:%M}"
    return _cropped(text)


def _course_lines(study: StudyView) -> list[RenderableType]:
    if len(study.course) < _LEAST_POINTS:
        return []
    first, last = format_metric(study.course[0]), format_metric(study.course[-1])
    return [Sparkline(study.course, before=f"best so far  {first}", after=last)]


def _ending_line(ending: Ending) -> Text:
    style = _STYLES.get(ending.outcome.value, "")
    reason = one_line(ending.reason or "no reason")
    return _cropped("last ", (ending.outcome.value, style), f": trial {ending.number}, {reason}")


def _cropped(*parts: str | tuple[str, str]) -> Text:
    """One line that ends with an ellipsis where the terminal does."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _outcome_line(study: StudyView) -> Text:
    line = Text()
    for outcome, count in study.outcomes.items():
        if count:
            line.append(f"{outcome} {count}  ", style=_STYLES.get(outcome, ""))
    line.rstrip()
    return line if line.plain else Text("no trial has ended yet", style="dim")


def _best_line(study: StudyView) -> Text:
    line = Text(f"{study.metric}  best {format_metric(study.best_value)}")
    if study.best_number is not None:
        line.append(f" (trial {study.best_number})")
    line.append(f", baseline {format_metric(study.baseline_value)}")
    if study.best_value is not None and study.baseline_value is not None:
        gain = study.best_value - study.baseline_value
        is_better = gain > 0 if study.direction == "maximize" else gain < 0
        line.append(f" {format_gain(gain)}", style="green" if is_better else "")
    return line


def _side_line(side: SideView, study: StudyView, *, is_running: bool) -> Text:
    counts = f"{side.num_ended} trained" + (", 1 running" if is_running else "")
    if side.num_valued < side.num_ended:
        counts += f", {side.num_ended - side.num_valued} without a value"
    mean = f"{study.metric} {format_metric(side.mean)} on average" if side.num_valued else ""
    width = max(len(each.name) for each in study.sides)
    return _cropped((f"{side.name:<{width}}", "bold"), f"  {counts}{', ' if mean else ''}{mean}")


def _bar(trial: RunningTrial, *, epochs: int | None, width: int) -> ProgressBar:
    """Progress of the whole trial, or of the epoch where the number of epochs is not known."""
    if epochs is None:
        return ProgressBar(total=1.0, completed=trial.fraction, width=width)
    return ProgressBar(total=epochs, completed=trial.epochs_done, width=width)


def _place(trial: RunningTrial, *, epochs: int | None) -> str:
    if not trial.epoch:
        return "starts"
    return str(trial.epoch) if epochs is None else f"{trial.epoch}/{epochs}"


def _spare(width: int, *, widths: Mapping[str, int]) -> int:
    return width - sum(widths.values()) - len(widths) - _BAR_WIDTH


def _running_table(study: StudyView, running: Sequence[RunningTrial], *, width: int) -> Table:
    widths = _COLUMN_WIDTHS | _MORE_WIDTHS
    has_more = _spare(width, widths=widths) >= 0
    if not has_more:
        widths = _COLUMN_WIDTHS
    spare = _spare(width, widths=widths)
    has_parameters = spare > _MIN_PARAMETERS_WIDTH
    bar_width = _BAR_WIDTH + (spare // 4 if has_parameters else max(1 - _BAR_WIDTH, min(spare, _BAR_WIDTH)))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("trial", justify="right", width=widths["trial"], no_wrap=True)
    table.add_column("epoch", width=bar_width, no_wrap=True)
    table.add_column("", width=widths["of"], no_wrap=True)
    table.add_column(study.reported_metric, justify="right", width=widths["metric"], no_wrap=True)
    table.add_column("samples/s", justify="right", width=widths["samples/s"], no_wrap=True)
    if has_more:
        table.add_column("wait", justify="right", width=widths["wait"], no_wrap=True)
        table.add_column("memory", justify="right", width=widths["memory"], no_wrap=True)
    if has_parameters:
        table.add_column("parameters", width=spare - spare // 4 - 1, no_wrap=True)
    for trial in running:
        cells: list[RenderableType] = [
            str(trial.view.number),
            _bar(trial, epochs=study.epochs, width=bar_width),
            _place(trial, epochs=study.epochs),
            format_metric(trial.objective),
            format_rate(trial.samples_per_second),
        ]
        if has_more:
            memory = NOTHING if trial.peak_memory_bytes is None else format_bytes(trial.peak_memory_bytes)
            cells += [format_share(trial.data_wait_share), memory]
        if has_parameters:
            parameters = format_parameters(trial.view.parameters)
            told = parameters if trial.view.side is None else f"{trial.view.side}: {parameters}"
            cells.append(Text(told, style="dim"))
        table.add_row(*cells)
    return table
