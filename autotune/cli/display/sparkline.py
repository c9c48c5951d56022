"""A curve in one line of text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.text import Text

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=+*#%"
"""Levels for terminals without block characters, as many as there are blocks."""


@dataclass(frozen=True)
class Sparkline:
    """The values between their ends, each a block as high as the value; at most as wide as there is room."""

    values: Sequence[float]
    before: str
    after: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        """The curve between its words, in one line as wide as there is room at most."""
        del console
        room = max(1, options.max_width - len(self.before) - len(self.after) - 2)
        levels = _ASCII if options.ascii_only else _BLOCKS
        curve = draw(self.values, width=room, levels=levels)
        line = Text.assemble(f"{self.before} ", (curve, "cyan"), f" {self.after}", no_wrap=True, overflow="ellipsis")
        yield line


def draw(values: Sequence[float], *, width: int, levels: str = _BLOCKS) -> str:
    """The curve, a character for each value from the lowest level to the highest; every n-th where room lacks.

    The last value is always drawn. Equal values all lie at the lowest level.
    """
    chosen = [
        values[(index + 1) * len(values) // min(width, len(values)) - 1] for index in range(min(width, len(values)))
    ]
    low, high = min(chosen), max(chosen)
    span = high - low
    top = len(levels) - 1
    return "".join(levels[round((value - low) / span * top) if span > 0 else 0] for value in chosen)
