"""A report's drawings as SVG files of their own, which load nothing and can be shown wherever pictures can."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from autotune.report.page.blocks import Figure, Figures
from autotune.report.page.composing import Report
from autotune.report.page.drawing import HEIGHT, LEGEND, WIDTH, Role, mark_at
from autotune.report.page.progress import trial_curve
from autotune.report.page.subject import Subject
from autotune.report.summaries.trials import TrialSummary
from autotune.report.text.wording import one_line

_TITLE, _SUBTITLE, _KEYS = 24, 16, 18
"""Heights of the lines above and below a drawing."""
_SCALE = 2
"""Pixels for each unit of a drawing, where the page that shows it sets no size."""
_LONGEST_TITLE, _LONGEST_SUBTITLE = 54, 70
_LETTER = 5.4
"""Approximate width of a letter in the legend."""
_ODD = re.compile(r"[^A-Za-z0-9._]+")
_STYLE = """
svg { font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
svg .paper { fill: var(--page); } svg .title { font-size: 13px; font-weight: 600; fill: var(--ink); }
svg .subtitle, svg .words { font-size: 10.5px; }
"""


def draw_report(report: Report) -> Mapping[str, str]:
    """All drawings of the report by file name."""
    pictures: dict[str, str] = {}
    for figure in _figures(report):
        stem = name = _ODD.sub("-", figure.name).strip("-.")[:100]
        number = 2
        while f"{name}.svg" in pictures:
            name, number = f"{stem}-{number}", number + 1
        pictures[f"{name}.svg"] = _as_picture(figure, keys=LEGEND)
    return pictures


def draw_trials(subject: Subject) -> Mapping[int, str]:
    """A picture by trial number of each reported learning curve, beside the winner's and the baseline's."""
    figures = ((trial, trial_curve(subject, trial)) for trial in subject.own_trials)
    return {
        trial.number: _as_picture(figure, keys=_keys(subject, trial), subtitle=one_line(trial.reason or ""))
        for trial, figure in figures
        if figure is not None
    }


def _figures(report: Report) -> Sequence[Figure]:
    blocks = [block for section in report.sections for block in section.blocks]
    return [figure for block in blocks if isinstance(block, Figures) for figure in block.figures]


def _keys(subject: Subject, trial: TrialSummary) -> Sequence[tuple[Role, str]]:
    keys: list[tuple[Role, str]] = [(subject.role(trial), f"trial {trial.number}")]
    best, baseline = subject.summary.best, subject.summary.baseline
    if best is not None and best.number != trial.number:
        keys.append(("best", f"winner, trial {best.number}"))
    if baseline is not None and baseline.number not in {trial.number, best.number if best is not None else None}:
        keys.append(("baseline", f"baseline, trial {baseline.number}"))
    return keys


def _as_picture(figure: Figure, *, keys: Sequence[tuple[Role, str]], subtitle: str = "") -> str:
    top = _TITLE + (_SUBTITLE if subtitle else 0)
    height = top + HEIGHT + _KEYS
    parts = [f'<rect class="paper" width="{WIDTH}" height="{height}"/>']
    parts.append(f'<text class="title" x="8" y="17">{_cut(figure.title, _LONGEST_TITLE)}</text>')
    if subtitle:
        parts.append(f'<text class="subtitle" x="8" y="{_TITLE + 8}">{_cut(subtitle, _LONGEST_SUBTITLE)}</text>')
    parts.append(figure.svg.replace("<svg ", f'<svg y="{top}" width="{WIDTH}" height="{HEIGHT}" ', 1))
    across, middle = 14.0, height - 10
    for role, words in keys:
        parts.append(mark_at(role, x=across, y=middle))
        parts.append(f'<text class="words" x="{across + 9:.1f}" y="{middle + 3.5}">{escape(words)}</text>')
        across += 26 + _LETTER * len(words)
    size = f'width="{WIDTH * _SCALE}" height="{height * _SCALE}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {size}>'
    return f"{head}<style>{_style()}</style>{''.join(parts)}</svg>"


def _cut(text: str, longest: int) -> str:
    return escape(text if len(text) <= longest else f"{text[: longest - 1]}…")


@cache
def _style() -> str:
    folder = files("autotune.report.page") / "templates"
    return "".join((folder / name).read_text(encoding="utf-8") for name in ("colours.css", "drawing.css")) + _STYLE
