"""What goes to stdout: tables for people, JSON for scripts."""

import dataclasses
import json
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Literal, TypeAlias

import click
from pydantic import BaseModel

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
"""What JSON can say."""

_WHOLE_SPACE = "\xa0"
"""A space at which no line is folded."""
_LEAST_LAST = 40
"""Fewest terminal columns in which a long last column of a table can be read."""
_SHORT = 24
"""A table's column of up to this width is not folded to make room for wider ones."""
_LEAST_LONG = 12
"""Fewest terminal columns in which a column wider than ``_SHORT`` can be read."""
_LEAST_WIDEST = 20
"""Fewest terminal columns to which a table's widest column is folded, where its last column stands below."""
_LEAST_COLUMNS = 2
"""Fewest columns that a table keeps in the narrowest terminal."""


def echo_json(value: object) -> None:
    """Dataclasses and models as objects with their fields as keys; NaN and infinities, which JSON lacks, as null."""
    click.echo(json.dumps(to_json(value), indent=2, ensure_ascii=False))


def to_json(value: object) -> Json:
    """The value as JSON has it; raises TypeError for what has no such form."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, BaseModel):
        names = (*type(value).model_fields, *type(value).model_computed_fields)
        return {name: to_json(getattr(value, name)) for name in names}
    if dataclasses.is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [to_json(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def echo_lines(lines: Iterable[str]) -> None:
    """Lines for a person: folded between words on a terminal, whole in a pipe."""
    for line in lines:
        click.echo(fitted(line))


def fitted(line: str, *, hang: int | None = None) -> str:
    """The line for stdout: as ``fold`` has it on a terminal, whole in a pipe."""
    return fold(line, width=shutil.get_terminal_size().columns, hang=hang) if sys.stdout.isatty() else line


def echo_error(text: str) -> None:
    """``Error: `` and the text on stderr: folded between words on a terminal, whole elsewhere."""
    lines = f"Error: {text}".splitlines()
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        lines = [fold(line, width=width) for line in lines]
    click.echo("\n".join(lines), err=True)


def fold(line: str, *, width: int, hang: int | None = None) -> str:
    """The line in rows of this width; an address in it stays whole, and so does a line that is a command.

    Args:
        line: What is folded between words.
        width: Columns of a row.
        hang: Columns before its later rows; two more than before the first, unless given.
    """
    if len(line) <= width or (line.lstrip().startswith("autotune ") and "://" in line):
        return line
    if "  # " in line:
        return re.sub(r" {2,}# ", "  # ", line)
    indent = " " * (hang if hang is not None else len(line) - len(line.lstrip(" ")) + 2)
    whole = re.sub("`[^`]*`", lambda command: command[0].replace(" ", _WHOLE_SPACE), line)
    rows = textwrap.wrap(whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(rows).replace(_WHOLE_SPACE, " ")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Aligned columns, numbers to the right; fitted to a terminal, unfolded in a pipe.

    Where a terminal is too narrow for the last column, each row's last cell stands below the row, with whatever
    columns before it there is no room for either.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if width is None or not _is_last_too_long(header, rows, width=width):
        click.echo("\n".join(_table_lines(header, rows, width=width)))
        return
    while len(header) > _LEAST_COLUMNS and _least_width(header[:-1], rows) > width:
        header, rows = _move_into_last(header, rows)
    folded = _fold_widest(header[:-1], [row[:-1] for row in rows], width=width)
    first, *rest = _table_lines(header[:-1], [line for lines in folded for line in lines], width=None)
    click.echo(first)
    lines = iter(rest)
    for row, parts in zip(rows, folded, strict=True):
        last = [fold(f"  {row[-1]}", width=width)] if row[-1] else []
        click.echo("\n".join([*islice(lines, len(parts)), *last]))


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table with row titles in its first column; on a narrow terminal as several tables below each other.

    Each of them repeats the first column, and has as many of the others as fit without folding.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    widths = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    bands: list[list[int]] = [[]]
    for index in range(1, len(header)):
        needed = sum(widths[column] + 2 for column in (*bands[-1], index)) + widths[0]
        if width is not None and bands[-1] and needed > width:
            bands.append([])
        bands[-1].append(index)
    for number, band in enumerate(bands):
        if number:
            click.echo()
        lines = _table_lines(
            [header[0], *(header[index] for index in band)],
            [[row[0], *(row[index] for index in band)] for row in rows],
            width=width,
        )
        click.echo("\n".join(lines))


def _least_width(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The terminal columns that a table with these titles needs, if its widest column is folded as far as allowed."""
    widths = [max(map(len, cells)) for cells in zip(header, *(row[: len(header)] for row in rows), strict=True)]
    return sum(widths) + 2 * (len(widths) - 1) - max(0, max(widths) - _LEAST_WIDEST)


def _move_into_last(
    header: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """The table with its last column but one moved into the last: each moved cell follows its title there."""
    *titles, moved, last = header
    cells = [[f"{moved} {row[-2]}" if row[-2] else "", row[-1]] for row in rows]
    joined = [" · ".join(filter(None, pair)) for pair in cells]
    return (*titles, last), [(*row[:-2], cell) for row, cell in zip(rows, joined, strict=True)]


def _fold_widest(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> list[list[Sequence[str]]]:
    """Each row as lines of cells, with the widest column folded so that the others fit unfolded."""
    widths = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    widest = widths.index(max(widths))
    room = max(_LEAST_WIDEST, width - sum(widths) - 2 * (len(widths) - 1) + widths[widest])
    folded: list[list[Sequence[str]]] = []
    for row in rows:
        first, *more = textwrap.wrap(row[widest], room) or [""]
        lines = [[*row[:widest], first, *row[widest + 1 :]]]
        lines += [["" if index != widest else part for index in range(len(row))] for part in more]
        folded.append([tuple(line) for line in lines])
    return folded


def _is_last_too_long(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> bool:
    """Whether the last column is long, and the others leave it too little room to be read."""
    *others, longest = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    return longest >= _LEAST_LAST and width < sum(others) + 2 * len(others) + _LEAST_LAST


def _whole_columns(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None) -> set[int]:
    """Indices of short columns that stay unfolded; empty where they would leave the others too little room."""
    widths = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    short = {index for index, each in enumerate(widths) if each <= _SHORT}
    left = (width or 0) - 2 * (len(widths) - 1) - sum(widths[index] for index in short)
    return short if left >= _LEAST_LONG * (len(widths) - len(short)) else set()


def _table_lines(header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None) -> list[str]:
    """The table's lines within this width; None for as much width as it needs."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    whole = _whole_columns(header, rows, width=width)
    for index, title in enumerate(header):
        cells = [row[index] for row in rows]
        is_number = all(cell[:1] in "-+0123456789" for cell in cells)
        justify: Literal["left", "right"] = "right" if is_number and cells else "left"
        table.add_column(Text(title), justify=justify, overflow="fold", no_wrap=index in whole)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    # In a pipe nothing is folded: one row, one line, for grep and awk.
    console = Console(width=width or 10_000, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]
