"""A study's clock, which counts the time in which its trials or races ran, without pauses between starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from autotune.report.summaries.record import StudyRecord

_GAP_SECONDS = 20.0
"""A longer gap is a pause between starts: within one start only milliseconds, or a race's end, lie between trials."""


@dataclass(frozen=True)
class Timeline:
    """Spans in seconds since 1970, in order and apart from each other."""

    spans: tuple[tuple[float, float], ...]
    busy_seconds: float
    """Seconds in which at least one trial or race ran."""

    @classmethod
    def of(cls, record: StudyRecord) -> Self:
        """The timeline of all trials and races of the study's own."""
        trials = [
            (row.started_at, _end(row.ended_at, [report.at for report in record.reports[row.number]]))
            for row in record.trials
            if row.origin is None and row.started_at is not None
        ]
        spans = [(start, end) for start, end in trials if end is not None]
        spans += [(race.created_at - race.seconds, race.created_at) for race in record.races if race.created_at]
        exact = _merge(spans, gap=0.0)
        return cls(_merge(spans, gap=_GAP_SECONDS), sum(end - start for start, end in exact))

    def busy_until(self, at: float) -> float:
        """Seconds on the study's clock at ``at``, which is in seconds since 1970."""
        return sum(max(0.0, min(end, at) - start) for start, end in self.spans)


def _end(ended_at: float | None, reported: Sequence[float]) -> float | None:
    return ended_at if ended_at is not None else max(reported, default=None)


def _merge(spans: Sequence[tuple[float, float]], *, gap: float) -> tuple[tuple[float, float], ...]:
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1] + gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)
