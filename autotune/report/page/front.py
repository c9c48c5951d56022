"""What a better value costs: the objective against throughput, memory and energy."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autotune.events import EpochReport
from autotune.report.page.blocks import Block, Figure, Figures, Section, Table, Words
from autotune.report.page.drawing import Line, Point, plot
from autotune.report.page.progress import name_point
from autotune.report.page.scales import focused, scale_of
from autotune.report.page.subject import Subject
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.wording import format_metric, format_parameters, one_line


@dataclass(frozen=True)
class _Cost:
    name: str
    is_maximized: bool
    of: Callable[[TrialSummary, Sequence[EpochReport]], float | None]


def _throughput(trial: TrialSummary, _reports: Sequence[EpochReport]) -> float | None:
    return None if trial.is_contended else trial.samples_per_second


def _memory(trial: TrialSummary, _reports: Sequence[EpochReport]) -> float | None:
    return None if trial.peak_memory_bytes is None else trial.peak_memory_bytes / 2**20


def _energy(_trial: TrialSummary, reports: Sequence[EpochReport]) -> float | None:
    spent = [r.power_watts * r.seconds / 1000 for r in reports if r.power_watts is not None]
    return sum(spent) if spent else None


_COSTS = (
    _Cost("samples_per_second", is_maximized=True, of=_throughput),
    _Cost("peak memory in MiB", is_maximized=False, of=_memory),
    _Cost("energy in kJ", is_maximized=False, of=_energy),
)


def front_section(subject: Subject) -> Section | None:
    """The section about the costs of a better value; None while fewer than three trials are complete."""
    complete = [t for t in subject.own_trials if t.outcome == "complete" and math.isfinite(subject.value(t))]
    if len(complete) < 3:  # noqa: PLR2004 - two points are no front
        return None
    found = [_figure(subject, cost, complete=complete) for cost in _COSTS if cost.name != subject.objective.metric]
    figures = [figure for figure in found if figure is not None]
    if not figures:
        return None
    blocks: list[Block] = [Figures(figures=tuple(figures))]
    front = subject.summary.front
    if len(subject.summary.objectives) > 1:
        blocks.append(_table(subject, front))
    text = (
        "The line joins complete trials that no other one beats in both. A process's memory on a CPU counts its data."
    )
    blocks.append(Words(text=text, kind="note"))
    data = {"front": [trial.number for trial in front]}
    return Section(key="front", title="What it costs", blocks=tuple(blocks), data=data)


def _figure(subject: Subject, cost: _Cost, *, complete: Sequence[TrialSummary]) -> Figure | None:
    costs = {trial.number: cost.of(trial, subject.record.reports[trial.number]) for trial in complete}
    known = {number: value for number, value in costs.items() if value is not None and math.isfinite(value)}
    trials = [trial for trial in complete if trial.number in known]
    if len({known[trial.number] for trial in trials}) < 3:  # noqa: PLR2004 - as above
        return None
    metric = subject.objective.metric
    front = _front(subject, trials, known, is_maximized=cost.is_maximized)
    points = [
        Point(
            x=known[trial.number],
            y=subject.value(trial),
            role=subject.role(trial),
            words=name_point(trial, value=subject.value(trial), metric=metric),
        )
        for trial in sorted(trials, key=lambda trial: subject.role(trial) in {"best", "baseline"})
    ]
    svg = plot(
        x=scale_of(known.values()),
        y=focused([subject.value(trial) for trial in trials], is_maximized=subject.is_maximized),
        labels=(cost.name, metric),
        lines=[Line(places=tuple((known[t.number], subject.value(t)) for t in front), role="complete")],
        points=points,
    )
    title = f"{metric} against {cost.name}"
    return Figure(svg=svg, title=title, name=title, alt=f"{metric} of complete trials against {cost.name}")


def _front(
    subject: Subject, trials: Sequence[TrialSummary], costs: Mapping[int, float], *, is_maximized: bool
) -> list[TrialSummary]:
    """The trials that no other one beats in both value and cost, the cheapest first."""
    sign, cost_sign = (-1.0 if subject.is_maximized else 1.0), (-1.0 if is_maximized else 1.0)
    places = {t.number: (cost_sign * costs[t.number], sign * subject.value(t)) for t in trials}
    kept: list[TrialSummary] = []
    for trial in sorted(trials, key=lambda t: places[t.number]):
        if not kept or places[trial.number][1] < places[kept[-1].number][1]:
            kept.append(trial)
    return kept


def _table(subject: Subject, front: Sequence[TrialSummary]) -> Table:
    metrics = [objective.metric for objective in subject.summary.objectives]
    rows = tuple(
        (
            str(trial.number),
            *(format_metric(trial.objectives.get(metric)) for metric in metrics),
            one_line(format_parameters(trial.parameters)),
        )
        for trial in front
    )
    return Table(header=("trial", *metrics, "parameters"), rows=rows, is_long=True)
