"""The observer for pipes, logs and ``--no-progress``: one plain line per event, on stderr."""

from types import TracebackType
from typing import Self

import click
from typing_extensions import override

from autotune.cli.display import lines
from autotune.coordinator.observer import Observer, StudyView, TrialView
from autotune.events import EpochReport, Finished, Progress, Started
from autotune.report.text.wording import format_clock, one_line


class PlainDisplay(Observer):
    """Writes a line for each event, with the study's time in front."""

    def __init__(self) -> None:
        self._elapsed_seconds = 0.0
        self._objectives: dict[int, float] = {}
        self._study: StudyView | None = None

    def __enter__(self) -> Self:
        """A plain display has nothing to set up."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """A plain display has nothing to take down."""

    @override
    def study_opened(self, study: StudyView) -> None:
        self._study = study
        self._write(lines.opened_line(study), study=study)

    @override
    def note(self, line: str) -> None:
        self._write(one_line(line))

    @override
    def trial_launched(self, trial: TrialView, study: StudyView) -> None:
        self._study = study
        self._write(lines.launched_line(trial), study=study)

    @override
    def trial_started(self, number: int, event: Started) -> None:
        assert self._study is not None, "it was opened first"
        self._write(lines.started_line(number, event, study=self._study))

    @override
    def trial_progressed(self, number: int, event: Progress) -> None:
        """Prints nothing, since progress comes too often for a log."""

    @override
    def trial_reported(self, number: int, report: EpochReport, study: StudyView) -> None:
        if study.metric in report.metrics:
            self._objectives[number] = report.metrics[study.metric]
        self._write(lines.reported_line(number, report, study=study), study=study)

    @override
    def trial_ended(self, number: int, finished: Finished, study: StudyView) -> None:
        objective = self._objectives.pop(number, None)
        self._write(lines.ended_line(number, finished, study=study, objective=objective), study=study)
        for line in lines.traceback_lines(finished.traceback):
            click.echo(line, err=True)

    @override
    def ticked(self, study: StudyView) -> None:
        self._elapsed_seconds = study.elapsed_seconds

    def _write(self, line: str, *, study: StudyView | None = None) -> None:
        if study is not None:
            self._elapsed_seconds = study.elapsed_seconds
        click.echo(f"{format_clock(self._elapsed_seconds):>7}  {line}", err=True)
