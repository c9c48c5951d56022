"""A race as it runs: one line for each heat, on stderr."""

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from autotune.cli.output import fold
from autotune.disk import format_bytes
from autotune.report.text.wording import format_clock, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autotune.coordinator.races.alone import SpeedWatch
    from autotune.coordinator.workloads import Workload
    from autotune.events import Scalar
    from autotune.speed.racing.batch import BatchLimit, BatchTry
    from autotune.speed.racing.result import Heat, Stage

_HANG = 11
"""Columns before the second row of a folded line: those of the time, and two."""

_TURNS = "no room for two of these trainings side by side: they take turns, and each turn costs a start"
_LONG: "Mapping[Stage, str]" = {
    "start": "trying as a whole",
    "compile": "compiling with",
    "confirm": "confirming on fresh processes",
    "informed": "meeting the informed guess of",
}
"""Heats that may take so long that their beginning is told, too."""


def show_race() -> "SpeedWatch":
    """A watch that writes on stderr, with the time since now in front."""
    from autotune.coordinator.races.alone import SpeedWatch

    lines = _Lines()
    return SpeedWatch(
        batch_tried=lines.batch_tried,
        largest_found=lines.largest_found,
        begun=lines.begun,
        diagnosed=lambda diagnosis: lines.write(diagnosis.words),
        heat_begun=lines.heat_begun,
        heat_over=lines.heat_over,
        takes_turns=lambda: lines.write(_TURNS),
    )


class _Lines:
    """What is told, line by line."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def write(self, *columns: str) -> None:
        line = "  ".join(map(one_line, columns))
        text = f"{format_clock(time.monotonic() - self._began):>7}  {line}"
        is_shown = sys.stderr.isatty()
        click.echo(fold(text, width=shutil.get_terminal_size().columns, hang=_HANG) if is_shown else text, err=True)

    def batch_tried(self, attempt: "BatchTry") -> None:
        held = format_bytes(attempt.peak_memory_bytes) if attempt.peak_memory_bytes is not None else attempt.reason
        self.write(f"batch {attempt.batch_size}: {held}")

    def largest_found(self, limit: "BatchLimit") -> None:
        self.write(f"largest batch: {limit.largest} ({limit.bound}; {len(limit.tries)} tried)")

    def begun(self, workload: "Workload") -> None:
        self.write(f"race of {workload.task} on {workload.device}, {workload.num_cores} cores: {workload.words}")

    def heat_begun(self, stage: "Stage", changes: "Mapping[str, Scalar]") -> None:
        from autotune.speed.racing.result import format_changes

        if stage in _LONG:
            self.write(f"{_LONG[stage]} {format_changes(changes)} ...")

    def heat_over(self, heat: "Heat") -> None:
        from autotune.coordinator.races.words import tried_words

        gain = (heat.gain.words,) if heat.gain else ()
        turns = " (in turns)" if heat.is_in_turns else ""
        self.write(heat.stage, tried_words(heat), *gain, f"{heat.verdict}: {heat.reason}{turns}")
