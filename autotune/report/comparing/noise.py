"""The noise of a trial's value, which a difference between two trials has to exceed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from autotune.events import EpochReport, Outcome
from autotune.recording.rows import TrialRow
from autotune.report.summaries.record import StudyRecord

NoiseSource: TypeAlias = Literal["seeds", "epochs"]

_LEAST_EPOCHS = 4
"""The fewest epochs from which a scatter can be told from a slope."""
_MOST_EPOCHS = 8


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A standard deviation, and where it comes from."""

    deviation: float
    source: NoiseSource
    """``seeds``: trials with the same parameters; ``epochs``: the trial's own last epochs around a fitted line."""
    count: int
    """Number of values that the deviation is computed from."""


def noise_of(trial: TrialRow, *, metric: str, record: StudyRecord) -> Noise | None:
    """The noise of the trial's last value of a metric; None where nothing tells it.

    Trials with other seeds tell it best. Where there are none, the scatter of the last epochs stands in. It
    lacks what a seed decides for a whole training, and is usually too small.
    """
    repeats = [_last(record.reports[other.number], metric) for other in record.trials if _is_repeat(other, trial)]
    repeats += [_last(other.reports, metric) for other in record.repeats if _is_repeat(other.trial, trial)]
    values = [value for value in repeats if value is not None]
    if len(values) > 1:
        return Noise(deviation=statistics.stdev(values), source="seeds", count=len(values))
    curve = [report.metrics[metric] for report in record.reports[trial.number] if metric in report.metrics]
    # The first third is left out, where the curve is steep and bends, so that no line fits it.
    late = min(_MOST_EPOCHS, len(curve) * 2 // 3)
    return _scatter(curve[-late:]) if late >= _LEAST_EPOCHS else None


def throughput_noise(reports: Sequence[EpochReport]) -> Noise | None:
    """The noise of samples per second over the steady epochs of one trial; None where there are too few."""
    rates = [report.samples_per_second for report in reports[1:]]
    if len(rates) < _LEAST_EPOCHS - 1:
        return None
    return Noise(deviation=statistics.stdev(rates), source="epochs", count=len(rates))


def _is_repeat(other: TrialRow, trial: TrialRow) -> bool:
    return other.parameters == trial.parameters and other.outcome is Outcome.COMPLETE


def _last(reports: Sequence[EpochReport], metric: str) -> float | None:
    return reports[-1].metrics.get(metric) if reports else None


def _scatter(curve: Sequence[float]) -> Noise:
    """The deviation of residuals around the least-squares line, corrected for its two degrees of freedom."""
    slope, start = statistics.linear_regression(range(len(curve)), curve)
    residuals = [value - start - slope * place for place, value in enumerate(curve)]
    variance = sum(residual**2 for residual in residuals) / (len(curve) - 2)
    return Noise(deviation=variance**0.5, source="epochs", count=len(curve))
