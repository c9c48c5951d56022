"""A report as one HTML file that loads nothing, reads on a phone, in the dark and on paper."""

from functools import cache
from typing import TYPE_CHECKING

from autotune.report.page.blocks import Intervals
from autotune.report.page.composing import Report
from autotune.report.page.drawing import LEGEND, interval, legend_mark
from autotune.report.page.scales import scale_of

if TYPE_CHECKING:
    from jinja2 import Template


def as_html(report: Report) -> str:
    """The page; every text in it is escaped by the template, drawings by ``drawing.py``."""
    marks = [(legend_mark(role), words) for role, words in LEGEND]
    return _template().render(report=report, legend=marks, draw=_draw)


def _draw(block: Intervals) -> list[str]:
    """A drawing of each interval, all on one scale; empty for a row that has none."""
    numbers = [n for row in block.rows for n in (row.low, row.high, row.ratio) if n is not None]
    scale = scale_of([*numbers, 1.0], log=False)
    return [
        ""
        if row.ratio is None or row.low is None or row.high is None
        else interval(low=row.low, ratio=row.ratio, high=row.high, scale=scale, is_kept=row.is_kept)
        for row in block.rows
    ]


@cache
def _template() -> "Template":
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("autotune.report.page"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["kind"] = lambda block: type(block).__name__
    environment.filters["is_number"] = lambda text: text[:1] in "-+0123456789" and bool(text)
    return environment.get_template("report.html.j2")
