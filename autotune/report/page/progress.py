"""How the study went: the best value against the clock, and how each trial learned."""

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from autotune.report.page.blocks import Block, Figure, Figures, Section, Words
from autotune.report.page.drawing import Line, Point, plot
from autotune.report.page.scales import Scale, focused, scale_of
from autotune.report.page.subject import Subject
from autotune.report.page.timeline import Timeline
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.wording import format_metric, format_parameters, one_line

Curve: TypeAlias = Sequence[tuple[int, float]]
"""Pairs of an epoch and a value."""

_ORDER = ("failed", "pruned", "complete", "baseline", "best")


def progress_section(subject: Subject) -> Section | None:
    """The section about how the study went; None while nothing was reported."""
    figures = [figure for figure in (_history(subject), _curves(subject)) if figure is not None]
    if not figures:
        return None
    blocks: list[Block] = [Figures(figures=tuple(figures))]
    note = "Time counts while trials or races ran; pauses between two starts are left out."
    blocks.append(Words(text=f"{note} What lies below the axes' range is drawn on their edge.", kind="note"))
    return Section(key="progress", title="How it went", blocks=tuple(blocks), data={"history": history_points(subject)})


def history_points(subject: Subject) -> list[dict[str, object]]:
    """Each trial's end on the study's clock, with its value."""
    timeline = Timeline.of(subject.record)
    ends = {row.number: row.ended_at for row in subject.record.trials}
    points: list[dict[str, object]] = []
    for trial in subject.own_trials:
        end, value = ends[trial.number], subject.value(trial)
        if end is not None:
            seconds = timeline.busy_until(end)
            points.append({"number": trial.number, "seconds": seconds, "value": value, "outcome": trial.outcome})
    return points


def describe(trial: TrialSummary, *, value: float, metric: str) -> str:
    """A trial in a few lines, shown to a reader who points at it."""
    reason = f"\n{one_line(trial.reason)[:160]}" if trial.reason else ""
    return f"{name_point(trial, value=value, metric=metric)}\n{one_line(format_parameters(trial.parameters))}{reason}"


def name_point(trial: TrialSummary, *, value: float, metric: str) -> str:
    """A trial in one line, kept short since a page draws each trial in a dozen places."""
    shown = f"{metric} {format_metric(value)}" if math.isfinite(value) else "no value"
    return f"trial {trial.number}, {trial.outcome}: {shown}"


def _history(subject: Subject) -> Figure | None:
    timeline = Timeline.of(subject.record)
    ends = {row.number: row.ended_at for row in subject.record.trials}
    seen = [(trial, subject.value(trial)) for trial in subject.own_trials if ends[trial.number] is not None]
    seen = [(trial, value) for trial, value in seen if math.isfinite(value)]
    if not seen:
        return None
    places = {trial.number: timeline.busy_until(ends[trial.number] or 0.0) for trial, _ in seen}
    unit, factor = _unit(max(places.values()))
    y = subject.value_scale()
    x = Scale(0.0, max(places.values()) * 1.03 / factor or 1.0)
    drawn = sorted(seen, key=lambda pair: _ORDER.index(subject.role(pair[0])))
    metric = subject.objective.metric
    points = [
        Point(
            x=places[trial.number] / factor,
            y=value,
            role=subject.role(trial),
            words=describe(trial, value=value, metric=metric),
        )
        for trial, value in drawn
    ]
    line = Line(places=_best_so_far(subject, places, factor=factor, end=x.high), role="best", is_step=True)
    baseline = subject.summary.baseline
    height = subject.value(baseline) if baseline is not None else math.nan
    svg = plot(
        x=x,
        y=y,
        labels=(unit, metric),
        lines=[line],
        points=points,
        baseline=height if math.isfinite(height) else None,
    )
    alt = f"{metric} of each trial at the time of its end"
    return Figure(svg=svg, title="Best value against time", name="history", alt=alt)


def _best_so_far(
    subject: Subject, places: dict[int, float], *, factor: float, end: float
) -> tuple[tuple[float, float], ...]:
    better = max if subject.is_maximized else min
    complete = [trial for trial in subject.own_trials if trial.outcome == "complete" and trial.number in places]
    steps: list[tuple[float, float]] = []
    for trial in sorted(complete, key=lambda trial: places[trial.number]):
        value = subject.value(trial)
        best = better(steps[-1][1], value) if steps else value
        steps.append((places[trial.number] / factor, best))
    return (*steps, (end, steps[-1][1])) if steps else ()


def _curves(subject: Subject) -> Figure | None:
    curves = _reported(subject, subject.own_trials)
    if not curves:
        return None
    metric = subject.curve_metric
    y = focused([value for _, curve in curves for _, value in curve], is_maximized=subject.is_curve_maximized)
    drawn = sorted(curves, key=lambda pair: _ORDER.index(subject.role(pair[0])))
    lines = [
        Line(places=tuple(curve), role=subject.role(trial), words=describe(trial, value=curve[-1][1], metric=metric))
        for trial, curve in drawn
    ]
    ends = [
        _end(subject, trial, curve) for trial, curve in drawn if len(curve) == 1 or subject.role(trial) in _ORDER[3:]
    ]
    svg = plot(x=_epochs_of(curves), y=y, labels=("epoch", metric), lines=lines, points=ends)
    alt = f"{metric} of each trial by epoch"
    return Figure(svg=svg, title="Learning curves, pruned ones faded", name="learning curves", alt=alt)


def trial_curve(subject: Subject, trial: TrialSummary) -> Figure | None:
    """One trial's learning curve among the winner's and the baseline's; None where it reported nothing."""
    if not subject.curve(trial):
        return None
    summary, metric = subject.summary, subject.curve_metric
    others = [one for one in (summary.baseline, summary.best) if one is not None and one.number != trial.number]
    curves = _reported(subject, (*others, trial))
    y = scale_of([value for _, curve in curves for _, value in curve], log=False)
    lines = [Line(places=tuple(curve), role=subject.role(one), is_featured=one is trial) for one, curve in curves]
    marked = [Point(x=epoch, y=value, role=subject.role(trial)) for epoch, value in curves[-1][1]]
    points = [*(_end(subject, one, curve) for one, curve in curves[:-1]), *marked]
    svg = plot(x=_epochs_of(curves), y=y, labels=("epoch", metric), lines=lines, points=points)
    title = name_point(trial, value=curves[-1][1][-1][1], metric=metric)
    return Figure(svg=svg, title=title, name="learning curve", alt=f"{title}, by epoch")


def _reported(subject: Subject, trials: Iterable[TrialSummary]) -> list[tuple[TrialSummary, Curve]]:
    """The trials that reported, each with its learning curve."""
    curves = [(trial, subject.curve(trial)) for trial in trials]
    return [(trial, curve) for trial, curve in curves if curve]


def _epochs_of(curves: Iterable[tuple[TrialSummary, Curve]]) -> Scale:
    """The axis of epochs, from the first to the last of any curve."""
    return Scale(0.8, max(epoch for _, curve in curves for epoch, _ in curve) + 0.2, is_whole=True)


def _end(subject: Subject, trial: TrialSummary, curve: Curve) -> Point:
    return Point(x=curve[-1][0], y=curve[-1][1], role=subject.role(trial))


def _unit(seconds: float) -> tuple[str, float]:
    if seconds < 600:  # noqa: PLR2004 - ten minutes
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 7200 else ("hours", 3600.0)  # noqa: PLR2004 - two hours
