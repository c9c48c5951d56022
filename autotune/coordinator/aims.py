"""What reports say of a study's objectives: values at the end, and what the search is told on the way."""

import math
from collections.abc import Mapping, Sequence

from autotune.errors import SpecError, StudyHeldError
from autotune.events import EpochReport, Finished, Outcome
from autotune.figures import format_figure
from autotune.goals import MEASUREMENTS, PEAK_MEMORY_BYTES, SAMPLES_PER_SECOND, Target, grain
from autotune.recording.lease import Holder
from autotune.spec.load import SpecFile
from autotune.spec.model import Budget, Objective, StudySpec


def task_metrics(objectives: Sequence[Objective]) -> tuple[str, ...]:
    """The metrics that the task has to report for these objectives."""
    named = (objective.reported_metric for objective in objectives)
    return tuple(dict.fromkeys(name for name in named if name not in MEASUREMENTS))


def targets_of(objectives: Sequence[Objective]) -> tuple[Target, ...]:
    """The targets among the objectives."""
    return tuple(objective.target for objective in objectives if objective.target is not None)


def known_values(
    objectives: Sequence[Objective], *, reports: Sequence[EpochReport], samples_per_second: float | None
) -> Mapping[str, float]:
    """The objectives that have a value when a trial is complete, by metric.

    A metric has the value of its last epoch, throughput that of the steady part, memory the maximum over all epochs.
    """
    known = dict(reports[-1].metrics) if reports else {}
    if samples_per_second is not None:
        known[SAMPLES_PER_SECOND] = samples_per_second
    if reports:
        known[PEAK_MEMORY_BYTES] = float(max(report.peak_memory_bytes for report in reports))
    return {objective.metric: known[objective.metric] for objective in objectives if objective.metric in known}


def value_on_the_way(objective: Objective, report: EpochReport) -> float:
    """The value that the objective is judged by after an epoch; NaN where the epoch did not report it.

    For a time to a target it is the distance to the target, 0 once that is reached. Smaller is better, as for
    the time itself. Optuna's tpe ranks pruned trials by it.
    """
    if objective.target is not None:
        return objective.target.shortfall(report.metrics.get(objective.target.metric, math.nan))
    match objective.metric:
        case name if name == SAMPLES_PER_SECOND:
            return report.samples_per_second
        case name if name == PEAK_MEMORY_BYTES:
            return float(report.peak_memory_bytes)
        case name:
            return report.metrics.get(name, math.nan)


def spent_resource(report: EpochReport, *, budget: Budget) -> float:
    """How much of the budget's resource the trial has had by this report."""
    match budget.resource:
        case "seconds":
            spent: float | None = report.trained_seconds
        case "samples":
            spent = report.trained_samples
        case _:
            spent = report.epoch
    return 0 if spent is None else spent


def step_of(report: EpochReport, *, budget: Budget) -> int:
    """The step at which the search is told of this report: epochs, or whole seconds or samples."""
    size = grain(budget.resource, max_resource=budget.max_resource)
    return int(spent_resource(report, budget=budget)) // size * size


def is_used_up(report: EpochReport, *, budget: Budget) -> bool:
    """The trial has had all that it gets: no pruner stops it any more."""
    return spent_resource(report, budget=budget) >= budget.max_resource or report.epoch >= budget.epochs


def describe_prune(report: EpochReport, *, spec: StudySpec) -> str:
    """The reason that is recorded for a trial that the pruner stops after this report."""
    objective = spec.objectives[0]
    metric = objective.reported_metric
    value = report.metrics.get(metric, value_on_the_way(objective, report))
    return f"{spec.pruner.name}: {metric} {format_figure(value, digits=4)} after {_length(report, budget=spec.budget)}"


def add_last_word(finished: Finished, *, reports: Sequence[EpochReport], spec: StudySpec) -> Finished:
    """Complete a pruned trial's reason by its last report, where it trained on before the stop reached it."""
    if finished.outcome is not Outcome.PRUNED or len(reports) < 2:  # noqa: PLR2004 - nothing came after the only one
        return finished
    *earlier, last = reports
    if not any(finished.reason == describe_prune(report, spec=spec) for report in earlier):
        return finished
    said = describe_prune(last, spec=spec).partition(": ")[2]
    return finished.model_copy(update={"reason": f"{finished.reason}; by the time it stopped, {said}"})


def compares_speed(spec: StudySpec) -> bool:
    """Whether what slows a trial changes its result: it is judged by its speed, or trains for so many seconds."""
    is_judged = any(each.target is not None or each.metric == SAMPLES_PER_SECOND for each in spec.objectives)
    return is_judged or spec.budget.resource == "seconds"


def check_jobs(file: SpecFile, *, jobs: int) -> None:
    """Refuse to compare throughputs that were measured side by side.

    Raises:
        SpecError: An objective is a throughput, and several trials are to run at once.
    """
    objectives = file.spec.objectives
    for index, objective in enumerate(objectives):
        if jobs > 1 and objective.metric == SAMPLES_PER_SECOND:
            raise SpecError(
                f"{file.where(metric_key(objectives, index=index))}: {SAMPLES_PER_SECOND} is compared between "
                f"trials that had the machine alone, got --jobs {jobs}; leave --jobs at 1, or drop the objective"
            )


def check_company(spec: StudySpec, *, study: str, here: Sequence[Holder]) -> None:
    """Refuse to compare throughputs that would be measured beside another coordinator's trials.

    Args:
        spec: The study's spec.
        study: The study's name.
        here: The study's other coordinators on this machine.

    Raises:
        StudyHeldError: An objective is a throughput, and ``here`` is not empty.
    """
    if here and any(objective.metric == SAMPLES_PER_SECOND for objective in spec.objectives):
        who = " and ".join(f"pid {holder.pid}" for holder in here)
        raise StudyHeldError(
            f"study {study}: {SAMPLES_PER_SECOND} is compared between trials that had the machine alone, got a "
            f"coordinator here ({who}); start this one on another machine, or stop that one first"
        )


def metric_key(objectives: Sequence[Objective], *, index: int) -> str:
    """The dotted key at which the spec names the metric of this objective."""
    objective = objectives[index]
    inner = "metric" if objective.target is None else f"time_to.{objective.target.metric}"
    return f"objective.{inner}" if len(objectives) == 1 else f"objectives.{index}.{inner}"


def judge(
    finished: Finished, *, objectives: Sequence[Objective], reports: Sequence[EpochReport]
) -> tuple[Finished, tuple[float, ...] | None]:
    """The final outcome and the objectives' values, which are None unless the trial is complete.

    A complete trial that lacks a value becomes failed, one with a value that is not finite diverged.
    """
    if finished.outcome is not Outcome.COMPLETE:
        return finished, None
    known = known_values(objectives, reports=reports, samples_per_second=finished.samples_per_second)
    missing = [objective.metric for objective in objectives if objective.metric not in known]
    if missing:
        return Finished(outcome=Outcome.FAILED, reason=_missing_reason(missing[0], reports=reports)), None
    values = tuple(known.values())
    if not all(math.isfinite(value) for value in values):
        return finished.model_copy(update={"outcome": Outcome.DIVERGED, "reason": f"objective {values}"}), None
    return finished, values


def _missing_reason(metric: str, *, reports: Sequence[EpochReport]) -> str:
    if not reports:
        return f"objective {metric}: the task must report its epochs, got no report; call trial.report"
    if metric == SAMPLES_PER_SECOND:  # no task reports it
        return (
            f"objective {metric}: the loop's training batches must be watched, got none that were; "
            "take them from trial.loader, or pass your own through trial.watch"
        )
    got = ", ".join(sorted(reports[-1].metrics))
    return f"objective {metric}: the task must report it, got {got}; report it or change the objective"


def _length(report: EpochReport, *, budget: Budget) -> str:
    if budget.resource == "epochs":
        return f"epoch {report.epoch}"
    return f"{format_figure(spent_resource(report, budget=budget), digits=4)} {budget.resource}"
