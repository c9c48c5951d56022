"""A trial's rows, in one summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import EpochReport, Scalar
from autotune.recording.rows import TrialRow


@dataclass(frozen=True, kw_only=True)
class TrialSummary:
    """One trial; the fields are the keys of its JSON."""

    number: int
    outcome: str
    """How it ended; ``running`` or ``queued`` while it has not, ``interrupted`` until it goes on."""
    reason: str | None
    is_baseline: bool
    objectives: Mapping[str, float]
    """Objectives' values at the last epoch so far, by metric; they count only once the trial is complete."""
    values: tuple[float, ...] | None
    """The objectives' values in the spec's order; None unless the trial is complete."""
    parameters: Mapping[str, Scalar]
    epochs: int
    """Epochs trained and recorded."""
    samples_per_second: float | None
    """Throughput of training over the steady part."""
    is_contended: bool
    """Other trials ran on the same machine: its throughput and times compare with nothing."""
    peak_memory_bytes: int | None
    """The most of all epochs: of the device, or of the process where the device is a CPU."""
    epoch_seconds: float | None
    """Mean wall-clock time of an epoch, evaluation included, the first one left out if there are more. A mean as the
    throughput is: on a machine that was busy for a while a median would contradict it."""
    data_wait_share: float | None
    """Share of the steady part's training time that was spent waiting for data, 0 to 1."""
    evaluation_share: float | None
    """Share of the steady part's time that was spent in evaluation and not in training, 0 to 1."""
    seconds: float | None
    """Seconds from its first launch to its end."""
    device: str | None
    pid: int | None
    """Id of its process while it runs; else None."""
    seed: int
    restarts: int
    origin: str | None
    """``STUDY/NUMBER`` where it was taken over from another study."""
    checkpoint_problem: str | None
    """Why it has no checkpoint of its last epoch, where the disk took none: cause and file."""
    speed_fallback: str | None
    """Why it trains with the baseline's speed parameters though a race found others; else None."""
    unread_parameters: tuple[str, ...]
    """Parameters that the task never looked at."""
    mlflow_run_id: str | None


def summarise_trial(row: TrialRow, *, reports: Sequence[EpochReport], metrics: Sequence[str]) -> TrialSummary:
    """The trial with its reports in the order of their epochs; ``metrics`` are the objectives'."""
    steady = reports[1:] or reports
    training_seconds = sum(report.seconds for report in steady)
    evaluated = sum(report.evaluation_seconds for report in steady)
    waited = sum(report.data_wait_share * report.seconds for report in steady)
    has_ended = row.ended_at is not None and row.started_at is not None
    return TrialSummary(
        number=row.number,
        outcome=row.outcome.value if row.outcome else row.status.value,
        reason=row.reason,
        is_baseline=row.is_baseline,
        values=row.values,
        objectives=_objectives(row, reports=reports, metrics=metrics),
        parameters=dict(row.parameters),
        epochs=reports[-1].epoch if reports else 0,
        samples_per_second=row.samples_per_second or _throughput(steady),
        is_contended=row.is_contended,
        peak_memory_bytes=max((report.peak_memory_bytes for report in reports), default=None),
        epoch_seconds=(training_seconds + evaluated) / len(steady) if steady else None,
        data_wait_share=waited / training_seconds if training_seconds > 0 else None,
        evaluation_share=evaluated / (training_seconds + evaluated) if training_seconds + evaluated > 0 else None,
        seconds=row.ended_at - row.started_at if has_ended and row.ended_at and row.started_at else None,
        device=row.device,
        pid=row.pid,
        seed=row.seed,
        restarts=row.restarts,
        origin=row.origin,
        checkpoint_problem=row.checkpoint_problem,
        speed_fallback=row.speed_fallback,
        unread_parameters=row.unread_parameters,
        mlflow_run_id=row.run_id,
    )


def _objectives(row: TrialRow, *, reports: Sequence[EpochReport], metrics: Sequence[str]) -> dict[str, float]:
    if row.values is not None:
        return dict(zip(metrics, row.values, strict=True))
    last = reports[-1].metrics if reports else {}
    return {metric: last[metric] for metric in metrics if metric in last}


def _throughput(reports: Sequence[EpochReport]) -> float | None:
    seconds = sum(report.seconds for report in reports)
    return sum(report.samples for report in reports) / seconds if seconds > 0 else None
