"""What the search learned of its parameters: importance, and slices through the space."""

import math

from autotune.events import Scalar
from autotune.report.page.blocks import Bar, Bars, Block, Figure, Figures, Section, Words
from autotune.report.page.drawing import Point, plot
from autotune.report.page.progress import name_point
from autotune.report.page.scales import Scale, categories_of, scale_of
from autotune.report.page.subject import Subject
from autotune.report.page.surrogate import LEAST_SKILL, LEAST_TRIALS, METHOD
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.wording import format_scalar

_MOST_SLICES = 8
_DRAW_ORDER = ("failed", "pruned", "complete", "baseline", "best")


def space_section(subject: Subject) -> Section | None:
    """The section about parameters; None while fewer than three trials have a value."""
    seen = [trial for trial in subject.own_trials if math.isfinite(subject.value(trial))]
    if len(seen) < 3:  # noqa: PLR2004 - two points show nothing
        return None
    importances = _importances(subject)
    blocks: list[Block] = []
    surrogate = subject.surrogate
    if importances and surrogate is not None:
        longest = max(importances.values()) or 1.0
        bars = [Bar(label=name, size=share / longest, text=f"{share:.0%}") for name, share in importances.items()]
        note = (
            f"{METHOD} A parameter's importance is what the forest loses when the parameter is shuffled, as a share of "
            f"all. It explains {max(0.0, surrogate.skill):.0%} of the variance of trials that it has not seen."
        )
        blocks += [
            Bars(bars=tuple(bars[:_MOST_SLICES]), heading=("parameter", "importance")),
            Words(text=note, kind="note"),
        ]
    else:
        text = f"Importance is not told: it takes {LEAST_TRIALS} trials with a value, and some of it explained by them."
        blocks.append(Words(text=text, kind="note"))
    names = list(importances) or _varied(seen)
    figures = [_slice(subject, name, seen=seen) for name in names[:_MOST_SLICES]]
    blocks.append(Figures(figures=tuple(figures)))
    return Section(key="parameters", title="What matters", blocks=tuple(blocks), data={"importances": importances})


def _importances(subject: Subject) -> dict[str, float]:
    surrogate = subject.surrogate
    return surrogate.importances() if surrogate is not None and surrogate.skill >= LEAST_SKILL else {}


def _varied(trials: list[TrialSummary]) -> list[str]:
    names = dict.fromkeys(name for trial in trials for name in trial.parameters)
    return [name for name in names if len({trial.parameters.get(name, ...) for trial in trials}) > 1]


def _slice(subject: Subject, name: str, *, seen: list[TrialSummary]) -> Figure:
    trials = [trial for trial in seen if name in trial.parameters]
    values = [trial.parameters[name] for trial in trials]
    x, places = _scale(values)
    metric = subject.objective.metric
    y = subject.value_scale()
    points = [
        Point(
            x=places[trial.parameters[name]],
            y=subject.value(trial),
            role=subject.role(trial),
            words=name_point(trial, value=subject.value(trial), metric=metric),
        )
        for trial in sorted(trials, key=lambda trial: _DRAW_ORDER.index(subject.role(trial)))
    ]
    svg = plot(x=x, y=y, labels=(name, metric), points=points)
    return Figure(svg=svg, title=name, name=f"slice {name}", alt=f"{metric} of each trial against {name}")


def _scale(values: list[Scalar]) -> tuple[Scale, dict[Scalar, float]]:
    """The scale of a parameter, and the place of each value on it.

    Numbers with many values are on a continuous scale; categories, and numbers with few values, have a place each.
    Fractions that hardly ever repeat were drawn from a range, however few they are.
    """
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    distinct = list(dict.fromkeys(values))
    is_drawn = 2 < len(distinct) > len(values) - 2 and any(not number.is_integer() for number in numbers)  # noqa: PLR2004
    if len(numbers) == len(values) and (is_drawn or len(distinct) > 6):  # noqa: PLR2004 - places that fit with labels
        return scale_of(numbers), {value: float(value or 0.0) for value in distinct}
    if len(numbers) == len(values):
        distinct.sort(key=lambda value: float(value or 0.0))
    return categories_of([format_scalar(value) for value in distinct]), {
        value: float(place) for place, value in enumerate(distinct)
    }
