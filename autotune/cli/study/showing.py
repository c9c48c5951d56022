"""The lines of ``autotune study show``."""

from collections import Counter
from collections.abc import Sequence

from autotune.events import Outcome
from autotune.recording.places import Places
from autotune.report.dashboards.addresses import Addresses
from autotune.report.summaries.reading import StudyReport
from autotune.report.text.ending import found_lines, next_step_lines
from autotune.report.text.verdicts import verdict_lines
from autotune.report.text.wording import format_clock, one_line


def show_lines(report: StudyReport, *, addresses: Addresses, places: Places) -> Sequence[str]:
    """What was found, where to look closer, what to type next."""
    study = report.study
    budget = [f"{study.budget.trials} trials"] if study.budget.trials is not None else []
    budget += [format_clock(study.budget.seconds)] if study.budget.seconds is not None else []
    objectives = ", ".join(objective.text for objective in study.objectives)
    limits = " or ".join(budget) or "no limit"
    length = f"{study.budget.max_resource} {study.budget.resource} a trial"
    lines = [
        f"task: {study.task}",
        f"objective: {objectives}; budget: {limits}, {length}; {study.state}",
        *found_lines(study),
        *(verdict_lines(report.verdict) if report.verdict is not None else ()),
        *_failure_lines(report),
        "",
        "Addresses, while `autotune dashboard` and `autotune mlflow` run:",
    ]
    lines += [f"  {label}:\n    {address}" for label, address in _labelled(addresses) if address]
    is_confirmed = report.verdict is not None
    return [*lines, "", *next_step_lines(study, places=places, is_confirmed=is_confirmed, is_shown=True)]


def _labelled(addresses: Addresses) -> Sequence[tuple[str, str | None]]:
    return (
        ("Optuna dashboard", addresses.dashboard),
        ("MLflow, all runs", addresses.mlflow_runs),
        ("MLflow, the best trials and the baseline compared", addresses.mlflow_compare),
    )


def _failure_lines(report: StudyReport) -> Sequence[str]:
    """Each reason of trials that failed or did not fit, with how many have it; then missing checkpoints."""
    unhappy = {Outcome.FAILED.value, Outcome.INFEASIBLE.value, Outcome.TIMED_OUT.value}
    reasons = Counter(
        f"{trial.outcome}: {one_line(trial.reason or 'no reason')}"
        for trial in report.trials
        if trial.outcome in unhappy
    )
    lines = [f"  {count}x {reason}" for reason, count in reasons.most_common()]
    unsaved = [trial for trial in report.trials if trial.checkpoint_problem is not None]
    if unsaved:
        last = unsaved[-1]
        lines.append(f"  {len(unsaved)}x without a checkpoint, the last trial {last.number}: {last.checkpoint_problem}")
    fallen = [(trial.number, trial.speed_fallback) for trial in report.trials if trial.speed_fallback is not None]
    if fallen:
        number, reason = fallen[-1]
        why = f"a race's could not be trained, the last trial {number}: {one_line(reason)}"
        lines.append(f"  {len(fallen)}x with the baseline's speed parameters: {why}")
    return lines
