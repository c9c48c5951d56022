"""Drawings as SVG: no script, no font, colours by class, so that one drawing serves light, dark and paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeAlias

from autotune.report.page.scales import Scale

WIDTH, HEIGHT = 400, 250
"""Size of a drawing, so small that its letters keep their size on a phone; a wide screen shows two in a row."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 12, 10, 40
_MOST_LABEL = 12
_TICK_LETTER = 6.8
"""Approximate width of a digit in a tick's label."""

Role: TypeAlias = Literal["best", "baseline", "complete", "pruned", "failed"]
Shape: TypeAlias = Literal["circle", "cross", "square", "diamond", "triangle"]

SHAPES: dict[Role, Shape] = {
    "best": "diamond",
    "baseline": "square",
    "complete": "circle",
    "pruned": "cross",
    "failed": "triangle",
}
"""Marks by role. They differ in shape as well as in colour, for readers who can't tell the colours apart."""


LEGEND: tuple[tuple[Role, str], ...] = (
    ("best", "winner"),
    ("baseline", "baseline"),
    ("complete", "complete"),
    ("pruned", "pruned or stopped"),
    ("failed", "no value"),
)
"""Names of the roles, for legends."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A mark at a place; its words show when it is pointed at."""

    x: float
    y: float
    role: Role
    words: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through places, in order."""

    places: tuple[tuple[float, float], ...]
    role: Role
    is_step: bool = False
    is_featured: bool = False
    """The drawing is about this line, which is thick and never faded."""
    words: str = ""


def plot(
    *,
    x: Scale,
    y: Scale,
    labels: tuple[str, str],
    lines: Sequence[Line] = (),
    points: Sequence[Point] = (),
    baseline: float | None = None,
) -> str:
    """Lines and points over two axes, the ones that were named last on top.

    Args:
        x: The horizontal scale.
        y: The vertical scale.
        labels: What the axes are.
        lines: Drawn first.
        points: Drawn over them.
        baseline: A dashed line across, at this height.
    """
    parts = [*_grid(x, y), *_axis_labels(labels)]
    if baseline is not None:
        height = _y(y, baseline)
        parts.append(f'<line class="baseline across" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height}" y2="{height}"/>')
    parts += [_line(line, x, y) for line in lines]
    parts += [_point(point, x, y) for point in points]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def interval(*, low: float, ratio: float, high: float, scale: Scale, is_kept: bool) -> str:
    """One ratio with its interval on a small line, and a mark at 1."""
    width, middle = 160, 9
    place = [round(6 + scale.share(value) * (width - 12), 1) for value in (low, ratio, high, 1.0)]
    kind = "best" if is_kept else "pruned"
    return (
        f'<svg class="interval" viewBox="0 0 {width} 18" aria-hidden="true">'
        f'<line class="one" x1="{place[3]}" x2="{place[3]}" y1="0" y2="18"/>'
        f'<line class="{kind}" x1="{place[0]}" x2="{place[2]}" y1="{middle}" y2="{middle}"/>'
        f"{_shape('diamond' if is_kept else 'circle', place[1], middle, kind)}</svg>"
    )


def _grid(x: Scale, y: Scale) -> list[str]:
    parts = []
    bottom = HEIGHT - _BOTTOM
    for value, label in y.ticks:
        height = _y(y, value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{height}" y2="{height}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{height + 4}" text-anchor="end">{escape(label)}</text>')
    is_slanted = bool(x.categories) and sum(map(len, x.categories)) > 44  # noqa: PLR2004 - letters that fit
    for value, label in x.ticks:
        place, short = _x(x, value), escape(_short(label))
        if is_slanted:
            turn = f'text-anchor="end" transform="rotate(-28 {place} {bottom + 12})"'
            parts.append(f'<text class="tick" x="{place}" y="{bottom + 12}" {turn}>{short}</text>')
        else:
            # A long number at the end of the axis would be cut by the drawing's edge.
            half = _TICK_LETTER * len(_short(label)) / 2
            centre = round(min(place, WIDTH - half), 1)
            parts.append(f'<text class="tick" x="{centre}" y="{bottom + 15}" text-anchor="middle">{short}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{WIDTH - _RIGHT}"/>')
    return parts


def _axis_labels(labels: tuple[str, str]) -> list[str]:
    across, up = map(escape, labels)
    middle = (HEIGHT - _BOTTOM + _TOP) / 2
    return [
        f'<text class="label" x="{(WIDTH + _LEFT - _RIGHT) / 2}" y="{HEIGHT - 5}" text-anchor="middle">{across}</text>',
        f'<text class="label" transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{up}</text>',
    ]


def _line(line: Line, x: Scale, y: Scale) -> str:
    places = [(_x(x, across), _y(y, up)) for across, up in line.places]
    if not places:
        return ""
    path = f"M{places[0][0]} {places[0][1]}"
    for across, up in places[1:]:
        path += f"H{across}V{up}" if line.is_step else f"L{across} {up}"
    words = f"<title>{escape(line.words)}</title>" if line.words else ""
    featured = " featured" if line.is_featured else ""
    return f'<path class="line {line.role}{featured}" d="{path}">{words}</path>'


def _point(point: Point, x: Scale, y: Scale) -> str:
    mark = _shape(SHAPES[point.role], _x(x, point.x), _y(y, point.y), point.role)
    return f"<g>{mark}<title>{escape(point.words)}</title></g>" if point.words else mark


def _shape(shape: Shape, x: float, y: float, kind: str) -> str:
    match shape:
        case "circle":
            return f'<circle class="mark {kind}" cx="{x}" cy="{y}" r="3.2"/>'
        case "square":
            return f'<rect class="mark {kind}" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
        case "diamond":
            return f'<path class="mark {kind}" d="M{x} {y - 6.5:.1f}l6 6.5l-6 6.5l-6 -6.5z"/>'
        case "triangle":
            return f'<path class="mark {kind}" d="M{x} {y - 4:.1f}l4 7h-8z"/>'
        case "cross":
            return f'<path class="mark {kind}" d="M{x - 2.6:.1f} {y - 2.6:.1f}l5.2 5.2m0 -5.2l-5.2 5.2"/>'


def legend_mark(role: Role) -> str:
    """The role's mark alone, for a legend."""
    return f'<svg class="key" viewBox="0 0 14 14" aria-hidden="true">{mark_at(role, x=7, y=7)}</svg>'


def mark_at(role: Role, *, x: float, y: float) -> str:
    """The role's mark, at a place of a larger drawing."""
    return _shape(SHAPES[role], x, y, role)


def _x(scale: Scale, value: float) -> float:
    return round(_LEFT + scale.share(value) * (WIDTH - _LEFT - _RIGHT), 1)


def _y(scale: Scale, value: float) -> float:
    return round(HEIGHT - _BOTTOM - scale.share(value) * (HEIGHT - _BOTTOM - _TOP), 1)


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LABEL else f"{text[: _MOST_LABEL - 1]}…"
