"""Which display a command uses."""

import sys
from typing import TypeAlias

from autotune.cli.display.live import LiveDisplay, terminal_console
from autotune.cli.display.plain import PlainDisplay

Display: TypeAlias = LiveDisplay | PlainDisplay


def choose_display(*, no_progress: bool, waiting: str = "loading torch and the task …") -> Display:
    """The live display on a terminal that can redraw, plain lines anywhere else.

    ``waiting`` is what the live display says until there is something to tell.
    """
    console = terminal_console()
    # isatty is asked as well: rich takes FORCE_COLOR for a terminal, and CI sets it for logs.
    if no_progress or console.is_dumb_terminal or not (console.is_terminal and sys.stderr.isatty()):
        return PlainDisplay()
    return LiveDisplay(console, waiting=waiting)
