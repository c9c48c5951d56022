"""A race as it runs: one line for each heat, on stderr."""

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from autotune.cli.display.lines import traceback_lines
from autotune.cli.output import fold
from autotune.disk import format_bytes
from autotune.report.text.wording import format_clock, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autotune.coordinator.races.alone import SpeedWatch
    from autotune.coordinator.workloads import Workload
    from autotune.events import Scalar
    from autotune.speed.measuring.arena import ContestantLostError
    from autotune.speed.racing.batch import BatchLimit, BatchTry
    from autotune.speed.racing.result import Heat, HeatStage

_HANG = 11
"""Indentation of the later rows of a folded line: the columns of the time, and two more."""

_TURNS = "no room for two of these trainings side by side: they take turns, and each turn costs a start"
_LONG: "Mapping[HeatStage, str]" = {
    "start": "trying as a whole",
    "compile": "compiling with",
    "confirm": "confirming on fresh processes",
    "informed": "meeting the informed guess of",
}
"""Words for the beginning of those heats that may take so long that it is told as well."""


class RaceLines:
    """Writes on stderr what is told of races, with the time since now in front."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._num_begun = 0
        self._num_heats = 0
        """Number of heats of the running race that are over."""

    @property
    def watch(self) -> "SpeedWatch":
        """The callbacks of a race that write these lines."""
        from autotune.coordinator.races.alone import SpeedWatch

        return SpeedWatch(
            takes_long=self._write,
            batch_tried=self._batch_tried,
            largest_found=self._largest_found,
            begun=self._begun,
            diagnosed=lambda diagnosis: self._write(diagnosis.words),
            heat_begun=self._heat_begun,
            heat_over=self._heat_over,
            takes_turns=lambda: self._write(_TURNS),
            shared=self._write,
        )

    def stopped(self, *, name: str, num_done: int) -> None:
        """Tell what is lost and what is kept where Ctrl-C ends it all.

        Args:
            name: The name under which the races are kept.
            num_done: Races that came to their end.
        """
        words = ["stopped: this race has no result" if self._num_begun > num_done else "stopped before a race began"]
        if self._num_begun > num_done and self._num_heats:
            stay = "heat stays" if self._num_heats == 1 else "heats stay"
            words.append(f"its {self._num_heats} {stay} in the dashboard's {name}.speed")
        if num_done:
            words.append("the race before it is kept" if num_done == 1 else f"the {num_done} races before it are kept")
        self._write("; ".join([*words, "the same command starts over"]))

    def lost(self, error: "ContestantLostError") -> None:
        """Tell where the task's code raised whose baseline can't be trained with; nothing where it did not."""
        for line in traceback_lines(error.traceback):
            click.echo(line, err=True)

    def _write(self, *columns: str) -> None:
        line = "  ".join(map(one_line, columns))
        text = f"{format_clock(time.monotonic() - self._began):>7}  {line}"
        is_shown = sys.stderr.isatty()
        click.echo(fold(text, width=shutil.get_terminal_size().columns, hang=_HANG) if is_shown else text, err=True)

    def _batch_tried(self, attempt: "BatchTry") -> None:
        held = format_bytes(attempt.peak_memory_bytes) if attempt.peak_memory_bytes is not None else attempt.reason
        self._write(f"batch {attempt.batch_size}: {held}")

    def _largest_found(self, limit: "BatchLimit") -> None:
        self._write(f"largest batch: {limit.largest} ({limit.bound}; {len(limit.tries)} tried)")

    def _begun(self, workload: "Workload") -> None:
        self._num_begun += 1
        self._num_heats = 0
        self._write(f"race of {workload.task} on {workload.device}, {workload.num_cores} cores: {workload.words}")

    def _heat_begun(self, stage: "HeatStage", changes: "Mapping[str, Scalar]") -> None:
        from autotune.speed.racing.words import format_changes

        if stage in _LONG:
            self._write(f"{_LONG[stage]} {format_changes(changes)} ...")

    def _heat_over(self, heat: "Heat") -> None:
        from autotune.coordinator.races.words import tried_words
        from autotune.speed.racing.words import gain_words

        self._num_heats += 1
        gain = (gain_words(heat.gain),) if heat.gain else ()
        turns = " (in turns)" if heat.is_in_turns else ""
        self._write(heat.stage, tried_words(heat), *gain, f"{heat.verdict}: {heat.reason}{turns}")
