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
    from autotune.coordinator.races.alone import SpeedWatch
    from autotune.coordinator.workloads import Workload
    from autotune.speed.measuring.bottleneck import Diagnosis
    from autotune.speed.racing.batch import BatchLimit, BatchTry
    from autotune.speed.racing.result import Heat

_HANG = 11
"""Columns before the second row of a folded line: those of the time, and two."""


def show_race() -> "SpeedWatch":
    """A watch that writes on stderr, with the time since now in front."""
    from autotune.coordinator.races.alone import SpeedWatch
    from autotune.report.text.speeds import tried_words

    began = time.monotonic()

    def write(*columns: str) -> None:
        line = "  ".join(map(one_line, columns))
        text = f"{format_clock(time.monotonic() - began):>7}  {line}"
        is_shown = sys.stderr.isatty()
        click.echo(fold(text, width=shutil.get_terminal_size().columns, hang=_HANG) if is_shown else text, err=True)

    def batch_tried(attempt: "BatchTry") -> None:
        held = format_bytes(attempt.peak_memory_bytes) if attempt.peak_memory_bytes is not None else attempt.reason
        write(f"batch {attempt.batch_size}: {held}")

    def largest_found(limit: "BatchLimit") -> None:
        write(f"largest batch: {limit.largest} ({limit.bound}; {len(limit.tries)} tried)")

    def begun(workload: "Workload") -> None:
        write(f"race of {workload.task} on {workload.device}, {workload.num_cores} cores: {workload.words}")

    def diagnosed(diagnosis: "Diagnosis") -> None:
        write(diagnosis.words)

    def heat_over(heat: "Heat") -> None:
        gain = (heat.gain.words,) if heat.gain else ()
        turns = " (in turns)" if heat.is_in_turns else ""
        write(heat.stage, tried_words(heat), *gain, f"{heat.verdict}: {heat.reason}{turns}")

    def takes_turns() -> None:
        write("no room for two of these trainings side by side: they take turns, and each turn costs a start")

    return SpeedWatch(
        batch_tried=batch_tried,
        largest_found=largest_found,
        begun=begun,
        diagnosed=diagnosed,
        heat_over=heat_over,
        takes_turns=takes_turns,
    )
