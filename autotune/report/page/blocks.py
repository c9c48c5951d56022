"""The blocks of a report's sections, which any format can show; formats escape every text in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, kw_only=True)
class Words:
    """A paragraph."""

    text: str
    kind: Literal["plain", "lead", "note"] = "plain"
    """``lead`` is what a reader should see first, ``note`` says how something was found."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names with their values: few, large figures where ``is_large``, else a list."""

    pairs: tuple[tuple[str, str, str], ...]
    """Name, value, and what there is to say about it; empty for nothing."""
    is_large: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_long: bool = False
    """Cells hold sentences: where there is little room, each row becomes a list."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar, from 0 to its share of the longest."""

    label: str
    size: float
    """-1 to 1; a negative one is drawn in another colour and with its sign."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars below each other."""

    bars: tuple[Bar, ...]
    heading: tuple[str, str]
    """Headings above the labels and above the texts."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """One measured ratio with its interval; without one, or where that tells nothing, only words."""

    label: str
    text: str
    """The ratio with its interval as it reads, or what stands in its place; empty without one."""
    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    reason: str
    is_kept: bool


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Ratios below each other, on one scale with a line at 1."""

    rows: tuple[Interval, ...]
    unit: str
    """What the ratio is of."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing."""

    svg: str
    """Markup, made by ``drawing.py``, which escapes every text in it."""
    title: str
    name: str
    """Name of its file, without an ending; unique in its section."""
    alt: str
    """What the drawing shows, in a sentence, for readers who can't see it."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Drawings beside each other where there is room."""

    figures: tuple[Figure, ...]


@dataclass(frozen=True, kw_only=True)
class Code:
    """Lines to copy."""

    lines: tuple[str, ...]


Block: TypeAlias = Words | Facts | Table | Bars | Intervals | Figures | Code


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a report."""

    key: str
    """Its key in the JSON, and its anchor in the page."""
    title: str
    blocks: tuple[Block, ...]
    data: Mapping[str, object]
    """The section's contents as plain values, for the JSON."""
