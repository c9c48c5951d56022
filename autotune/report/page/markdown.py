"""A report as Markdown, short enough for a pull request: no drawings, the tables folded where they are long."""

import re
from collections.abc import Iterator, Sequence
from typing import assert_never

from autotune.report.page.blocks import Bars, Block, Code, Facts, Figures, Intervals, Table, Words
from autotune.report.page.composing import Report

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$@])")
_ALWAYS_OPEN = {"verdict", "winner"}


def as_markdown(report: Report, *, is_folded: bool = True) -> str:
    """The report; what a task or a user wrote is escaped, so that it stays text.

    Args:
        report: What it is made of.
        is_folded: Long sections are folded, and can be unfolded; False for places that can't show that.
    """
    lines = [f"# Study {_text(report.name)}", "", f"{_text(report.objectives)} · task {_text(report.task)}"]
    for section in report.sections:
        if all(_belongs_to_drawings(block) for block in section.blocks):
            continue
        blocks = [line for block in section.blocks for line in _block(block)]
        if section.key in _ALWAYS_OPEN or not is_folded:
            lines += ["", f"## {section.title}", "", *blocks]
        else:
            lines += ["", f"<details><summary>{section.title}</summary>", "", *blocks, "", "</details>"]
    return "\n".join([*lines, "", f"*{_text(report.made)}*"]).replace("\n\n\n", "\n\n") + "\n"


def _belongs_to_drawings(block: Block) -> bool:
    """Whether the block is a drawing or a note; a section with nothing else is left out, as drawings are."""
    return isinstance(block, Figures) or (isinstance(block, Words) and block.kind == "note")


def _block(block: Block) -> Iterator[str]:
    match block:
        case Words(text=text, kind=kind):
            yield f"**{_text(text)}**" if kind == "lead" else _text(text)
        case Facts(pairs=pairs):
            yield from _table(("what", "value", ""), pairs)
        case Table(header=header, rows=rows):
            yield from _table(header, rows)
        case Bars(bars=bars, heading=heading):
            yield from _table(heading, [(bar.label, bar.text) for bar in bars])
        case Intervals(rows=rows, unit=unit):
            yield from _table(
                ("tried", unit, "verdict", "why"),
                [(row.label, row.text, row.verdict, row.reason) for row in rows],
            )
        case Code(lines=lines):
            yield from (f"    {line}" for line in lines)
        case Figures():
            return
        case _:
            assert_never(block)
    yield ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(map(_text, header))} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(_text, row))} |"


def _text(text: str) -> str:
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return _SPECIAL.sub(r"\\\1", plain)
