"""The observer for a terminal: what is running now, redrawn in place, under the lines of what has happened."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text
from typing_extensions import override

from autotune.cli.display import lines
from autotune.cli.display.panel import RunningTrial, render_panel
from autotune.cli.output import fold
from autotune.coordinator.observer import Observer, StudyView, TrialView
from autotune.events import EpochReport, Finished, Progress, Started
from autotune.report.text.wording import one_line

_SECONDS_BETWEEN_FRAMES = 0.1


class LiveDisplay(Observer):
    """Draws on stderr, on the thread that tells it things, at most ten times a second.

    No thread of its own: a frame between two writes of the coordinator never waits for a
    lock, and a process that forks meanwhile copies none.
    """

    def __init__(self, console: Console | None = None, *, waiting: str = "") -> None:
        self._console = console or terminal_console()
        self._waiting = waiting
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._study: StudyView | None = None
        self._running: dict[int, RunningTrial] = {}
        self._objectives: dict[int, float] = {}
        """Times to the target by trial, from the report that reached it; the panel shows the metric instead."""
        self._drawn_at = float("-inf")
        self._line_widths: list[int] = []
        """Widths of the lines in the frame that the terminal shows now."""

    def __enter__(self) -> Self:
        """Take over the bottom of the terminal."""
        self._live.start()
        # torch and the task take seconds to import, and a blank terminal looks like a hang.
        self._live.update(Text(self._waiting, style="dim"), refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Give the bottom of the terminal back, with the cursor."""
        self._erase_folded()
        self._live.stop()

    @override
    def study_opened(self, study: StudyView) -> None:
        self._write(lines.opened_line(study))
        self._draw(study)

    @override
    def note(self, line: str) -> None:
        self._write(one_line(line))

    @override
    def trial_launched(self, trial: TrialView, study: StudyView) -> None:
        self._running[trial.number] = RunningTrial(trial)
        self._draw(study)

    @override
    def trial_started(self, number: int, event: Started) -> None:
        if number in self._running:
            self._running[number].start(event)

    @override
    def trial_progressed(self, number: int, event: Progress) -> None:
        if number in self._running:
            self._running[number].progress(event)

    @override
    def trial_reported(self, number: int, report: EpochReport, study: StudyView) -> None:
        if study.metric in report.metrics:
            self._objectives[number] = report.metrics[study.metric]
        if number in self._running:
            self._running[number].report(report, metric=study.reported_metric)
        self._draw(study)

    @override
    def trial_ended(self, number: int, finished: Finished, study: StudyView) -> None:
        running = self._running.pop(number, None)
        side = running.view.side if running is not None else None
        objective = self._objectives.pop(number, None)
        self._write(lines.ended_line(number, finished, study=study, objective=objective, side=side))
        for line in lines.traceback_lines(finished.traceback):
            self._write(line)
        self._draw(study)

    @override
    def ticked(self, study: StudyView) -> None:
        if time.monotonic() - self._drawn_at >= _SECONDS_BETWEEN_FRAMES:
            self._draw(study)

    def _write(self, line: str) -> None:
        self._erase_folded()
        line = fold(line, width=self._console.size.width)
        self._console.print(line, markup=False, highlight=False, emoji=False)

    def _draw(self, study: StudyView) -> None:
        self._study = study
        self._drawn_at = time.monotonic()
        size = self._console.size
        panel = render_panel(study, list(self._running.values()), width=size.width, height=size.height)
        self._erase_folded()
        self._line_widths = [
            sum(segment.cell_length for segment in line) for line in self._console.render_lines(panel, pad=False)
        ]
        self._live.update(panel, refresh=True)

    def _erase_folded(self) -> None:
        """Erase a frame that the terminal folded when it became narrower: rich would go up too few lines."""
        num_lines, width = len(self._line_widths), self._console.size.width
        num_rows = sum(max(1, -(-line // width)) for line in self._line_widths)
        if num_rows == num_lines:
            return
        erase = (ControlType.ERASE_IN_LINE, 2)
        down = [(ControlType.CURSOR_DOWN, 1), erase] * (num_rows - 1)
        back = (ControlType.CURSOR_UP, num_rows - num_lines)
        self._console.control(
            Control(ControlType.CARRIAGE_RETURN, (ControlType.CURSOR_UP, num_rows - 1), erase, *down, back)
        )
        self._line_widths = [0] * num_lines


def terminal_console() -> Console:
    """The console on stderr, where progress goes."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False)
