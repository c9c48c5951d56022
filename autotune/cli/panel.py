"""What the live display shows of a study: four lines, then a line for each running trial."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autotune.coordinator.observer import StudyView, TrialView
from autotune.events import EpochReport, Outcome, Progress, Started
from autotune.report.wording import (
    format_clock,
    format_gain,
    format_metric,
    format_parameters,
    format_rate,
    format_share,
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
_COLUMN_WIDTHS = {"trial": 5, "of": 7, "metric": 12, "samples/s": 9, "data wait": 9}
"""Fixed, so that nothing jumps while numbers change; with a bar of 10 they fill 58 columns."""
_BAR_WIDTH = 10
_MIN_PARAMETERS_WIDTH = 20
"""With less room than this, the display does not say what a trial trains with."""


@dataclass
class RunningTrial:
    """The last that was heard of a running trial."""

    view: TrialView
    epoch: int = 0
    """The epoch in training, counted from 1; 0 before training begins."""
    fraction: float = 0.0
    objective: float | None = None
    samples_per_second: float | None = None
    data_wait_share: float | None = None

    def start(self, event: Started) -> None:
        """Training begins, perhaps after epochs that a checkpoint brought."""
        self.epoch, self.fraction = event.epochs_done + 1, 0.0

    def progress(self, event: Progress) -> None:
        """Somewhere within an epoch."""
        self.epoch, self.fraction = event.epoch, event.fraction
        self.samples_per_second, self.data_wait_share = event.samples_per_second, event.data_wait_share

    def report(self, report: EpochReport, *, metric: str) -> None:
        """An epoch ended."""
        self.epoch, self.fraction = report.epoch, 1.0
        self.objective = report.metrics.get(metric, self.objective)
        self.samples_per_second, self.data_wait_share = report.samples_per_second, report.data_wait_share

    @property
    def epochs_done(self) -> float:
        """Epochs trained so far, with the part of the one in training."""
        return max(0.0, self.epoch - 1 + self.fraction)


def render_panel(study: StudyView, running: Sequence[RunningTrial], *, width: int, height: int) -> RenderableType:
    """The study and its running trials, within a terminal of this size."""
    parts: list[RenderableType] = [_time_line(study), _outcome_line(study), _best_line(study)]
    room = max(1, height - 9)
    if running:
        parts.append(_running_table(study, running[:room], width=width))
    if len(running) > room:
        parts.append(Text(f"and {len(running) - room} more running", style="dim"))
    return Group(Text(""), *parts)


def _time_line(study: StudyView) -> Text:
    line = Text(study.name, style="bold")
    line.append(f"  {format_clock(study.elapsed_seconds)}", style="not bold")
    if study.total_seconds is not None:
        left = max(0.0, study.total_seconds - study.elapsed_seconds)
        line.append(f" of {format_clock(study.total_seconds)}, {format_clock(left)} left", style="not bold")
    done = sum(study.outcomes.values())
    of_total = f" of {study.total_trials}" if study.total_trials is not None else ""
    line.append(f"  {done}{of_total} trials, {study.num_running} running", style="not bold")
    return line


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


def _bar(trial: RunningTrial, *, epochs: int | None, width: int) -> ProgressBar:
    """Over the whole trial; over its epoch where nobody knows how many there will be."""
    if epochs is None:
        return ProgressBar(total=1.0, completed=trial.fraction, width=width)
    return ProgressBar(total=epochs, completed=trial.epochs_done, width=width)


def _place(trial: RunningTrial, *, epochs: int | None) -> str:
    if not trial.epoch:
        return "starts"
    return str(trial.epoch) if epochs is None else f"{trial.epoch}/{epochs}"


def _running_table(study: StudyView, running: Sequence[RunningTrial], *, width: int) -> Table:
    widths = _COLUMN_WIDTHS
    spare = width - sum(widths.values()) - len(widths) - _BAR_WIDTH
    has_parameters = spare > _MIN_PARAMETERS_WIDTH
    bar_width = _BAR_WIDTH + (spare // 4 if has_parameters else max(-6, min(spare, _BAR_WIDTH)))
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("trial", justify="right", width=widths["trial"], no_wrap=True)
    table.add_column("epoch", width=bar_width, no_wrap=True)
    table.add_column("", width=widths["of"], no_wrap=True)
    table.add_column(study.reported_metric, justify="right", width=widths["metric"], no_wrap=True)
    table.add_column("samples/s", justify="right", width=widths["samples/s"], no_wrap=True)
    table.add_column("data wait", justify="right", width=widths["data wait"], no_wrap=True)
    if has_parameters:
        table.add_column("parameters", width=spare - spare // 4 - 1, no_wrap=True)
    for trial in running:
        cells: list[RenderableType] = [
            str(trial.view.number),
            _bar(trial, epochs=study.epochs, width=bar_width),
            _place(trial, epochs=study.epochs),
            format_metric(trial.objective),
            format_rate(trial.samples_per_second),
            format_share(trial.data_wait_share),
        ]
        if has_parameters:
            cells.append(Text(format_parameters(trial.view.parameters), style="dim"))
        table.add_row(*cells)
    return table
