"""What happens in a study, one plain line for each event."""

from autotune.coordinator.observer import StudyView, TrialView
from autotune.events import EpochReport, Finished, Started
from autotune.report.text.wording import (
    format_clock,
    format_duration,
    format_metric,
    format_parameters,
    format_rate,
    format_share,
    one_line,
)

_MOST_SIDES = 3
"""The most configurations whose means fit in one line."""


def opened_line(study: StudyView) -> str:
    """What the study is, what it may spend, and what it already has."""
    budget = [f"{study.total_trials} trials"] if study.total_trials is not None else []
    budget += [format_clock(study.total_seconds)] if study.total_seconds is not None else []
    done = sum(study.outcomes.values())
    if study.sides:
        line = f"study {study.name}: {study.metric} of {', '.join(side.name for side in study.sides)}"
        return f"{line}; {done} of {study.total_trials} trainings so far"
    line = f"study {study.name}: {study.direction} {study.metric}, at most {' or '.join(budget) or 'no limit'}"
    return f"{line}; {done} {'trial' if done == 1 else 'trials'} so far" if done else line


def launched_line(trial: TrialView) -> str:
    """Which trial starts, and with what."""
    if trial.side is not None:
        what = f"training {trial.number} ({trial.side}) {'goes on' if trial.is_adopted else 'starts'}"
    elif trial.is_adopted:
        what = f"trial {trial.number} goes on"
    elif trial.is_baseline:
        what = f"trial {trial.number}, the baseline, starts"
    else:
        what = f"trial {trial.number} starts"
    return f"{what} on {trial.device}: {format_parameters(trial.parameters) or 'all defaults'}"


def started_line(number: int, event: Started, *, study: StudyView) -> str:
    """That a trial trains, and how long it took until then."""
    after = f"{_noun(study)} {number} trains after {format_duration(event.setup_seconds)}"
    return f"{after}, {event.epochs_done} epochs from its checkpoint" if event.epochs_done else after


def reported_line(number: int, report: EpochReport, *, study: StudyView) -> str:
    """What a finished epoch came to."""
    of_all = "" if study.epochs is None else f"/{study.epochs}"
    return (
        f"{_noun(study)} {number} epoch {report.epoch}{of_all}: "
        f"{study.reported_metric} {format_metric(report.metrics.get(study.reported_metric))}, "
        f"{format_rate(report.samples_per_second)} samples/s, data wait {format_share(report.data_wait_share)}"
    )


def ended_line(
    number: int, finished: Finished, *, study: StudyView, objective: float | None, side: str | None = None
) -> str:
    """How a trial ended, and where the study stands; ``side`` names what it repeated, unless an earlier line did."""
    whose = f" ({side})" if side is not None else ""
    line = f"{_noun(study)} {number}{whose} {finished.outcome.value}"
    # A pruner's reason holds the metric and its value already.
    if objective is not None and study.metric not in (finished.reason or ""):
        line += f", {study.metric} {format_metric(objective)}"
    if finished.reason:
        line += f": {one_line(finished.reason)}"
    if study.sides:
        known = [f"{side.name} {format_metric(side.mean)}" for side in study.sides if side.num_valued]
        return f"{line} (means: {', '.join(known)})" if known and len(study.sides) <= _MOST_SIDES else line
    if study.best_number is not None:
        line += f" (best {format_metric(study.best_value)}, trial {study.best_number})"
    return line


def _noun(study: StudyView) -> str:
    """``training`` in a study of repeated trainings, whose numbers are not those of a search; else ``trial``."""
    return "training" if study.sides else "trial"


def traceback_lines(traceback: str | None) -> list[str]:
    """The last lines of the task's own traceback, indented and harmless to a terminal; none where there is none."""
    lines = (traceback or "").splitlines()
    indented = [(line[: len(line) - len(line.lstrip(" "))], one_line(line)) for line in lines]
    return [f"    {indent}{text}" for indent, text in indented if text]
