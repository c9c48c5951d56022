"""A study's rows, in one summary: what was found, and what it gains over the baseline."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.errors import RunError
from autotune.events import EpochReport, Outcome, Scalar
from autotune.recording.races import RaceRow
from autotune.recording.ranking import has_value, rank_trials
from autotune.recording.rows import ReportRow, StudyRow, TrialRow
from autotune.report.summaries.exhausted import is_exhausted
from autotune.report.summaries.races import RaceSummary, race_taken_over, summarise_recorded_race
from autotune.report.summaries.trials import TrialSummary, summarise_trial
from autotune.spec.model import Budget, Objective


@dataclass(frozen=True, kw_only=True)
class Gain:
    """The best trial against the baseline."""

    objective: float
    """Difference of the first objective, best minus baseline."""
    is_better: bool
    """The difference has the direction that the study wants."""
    throughput_ratio: float | None
    """Samples per second, best over baseline; above 1 the best is faster. None where trials ran side by side."""
    epoch_time_ratio: float | None
    """Seconds an epoch, best over baseline; below 1 the best is faster. None where trials ran side by side."""


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """One study; the fields are the keys of its JSON."""

    name: str
    task: str
    state: str
    """``open``, ``complete``, or ``stopped`` by itself."""
    is_exhausted: bool
    """Whether it is complete since every combination of its grid was tried, so that a larger budget changes nothing."""
    objectives: tuple[Objective, ...]
    budget: Budget
    elapsed_seconds: float
    speed_seconds: float
    """The part of ``elapsed_seconds`` that was spent on races of speed parameters."""
    races: tuple[RaceSummary, ...]
    """Races that were run in this study, the newest last."""
    race_taken_over: RaceSummary | None
    """The race outside of this study whose winner the best trial trains with; None where there is none."""
    created_at: float
    """Seconds since 1970."""
    outcomes: Mapping[str, int]
    """Number of own trials by outcome, the running and queued ones too."""
    baseline: TrialSummary | None
    best: TrialSummary | None
    """The complete trial with the best first objective; the earlier one of two that are equal."""
    front: tuple[TrialSummary, ...]
    """Complete trials that no other one beats in all objectives; with one objective, the best alone."""
    gain: Gain | None
    mlflow_experiment_id: str | None
    mlflow_run_id: str | None


@dataclass(frozen=True, kw_only=True)
class BestTrial:
    """The answer that a study gives; the fields are the keys of its JSON."""

    study: str
    number: int
    metric: str
    """The first objective."""
    value: float
    parameters: Mapping[str, Scalar]
    best: TrialSummary
    front: tuple[TrialSummary, ...]
    baseline: TrialSummary | None


def best_of_study(study: StudySummary) -> BestTrial:
    """The best trial; raises RunError while none is complete."""
    if study.best is None:
        raise RunError(f"study {study.name}: the best trial must be a complete one, got none yet; let it run on")
    metric = study.objectives[0].metric
    return BestTrial(
        study=study.name,
        number=study.best.number,
        metric=metric,
        value=study.best.objectives[metric],
        parameters=study.best.parameters,
        best=study.best,
        front=study.front,
        baseline=study.baseline,
    )


def best_values(study: StudySummary) -> Mapping[str, float | None]:
    """The best value on the front for each objective; None while no trial is complete."""
    best: dict[str, float | None] = {}
    for objective in study.objectives:
        first = min(study.front, key=lambda trial: _cost(trial, objective), default=None)
        best[objective.metric] = first.objectives[objective.metric] if first is not None else None
    return best


def summarise_study(
    row: StudyRow,
    *,
    trials: Sequence[TrialSummary],
    races: Sequence[RaceRow] = (),
    other_races: Sequence[RaceRow] = (),
) -> StudySummary:
    """The study, from summaries of all its trials; those taken over from another study do not count as its own.

    Args:
        row: The study's row.
        trials: Summaries of all its trials.
        races: Races that were run in it, the newest first.
        other_races: Races whose results its trials may have taken over, the newest first.
    """
    spec = row.spec
    own = [trial for trial in trials if trial.origin is None]
    ranked = rank_trials(own, objective=spec.objectives[0])
    front = _front(ranked, objectives=spec.objectives)
    best = ranked[0] if ranked else None
    baseline = next((trial for trial in own if trial.is_baseline), None)
    own_races = tuple(summarise_recorded_race(race, trials=own) for race in reversed(races))
    has_raced = spec.speed_search.name == "race"
    return StudySummary(
        name=row.name,
        task=row.task,
        state=row.state.value,
        is_exhausted=is_exhausted(row, spec=spec, trials=trials),
        objectives=spec.objectives,
        budget=spec.budget,
        elapsed_seconds=row.elapsed_seconds,
        speed_seconds=row.speed_seconds,
        races=own_races,
        race_taken_over=race_taken_over(other_races, own=own_races, best=best) if has_raced else None,
        created_at=row.created_at,
        outcomes=dict(Counter(trial.outcome for trial in own)),
        baseline=baseline,
        best=best,
        front=front if len(spec.objectives) > 1 else ((best,) if best else ()),
        gain=_gain(best, baseline, objective=spec.objectives[0]),
        mlflow_experiment_id=row.experiment_id,
        mlflow_run_id=row.run_id,
    )


def summarise_trials(
    row: StudyRow, *, trials: Sequence[TrialRow], reports: Sequence[ReportRow]
) -> tuple[TrialSummary, ...]:
    """Every trial of the study, by number."""
    metrics = [objective.metric for objective in row.spec.objectives]
    by_trial: defaultdict[int, list[EpochReport]] = defaultdict(list)
    for report in reports:
        by_trial[report.trial_id].append(report.report)
    return tuple(
        summarise_trial(trial, reports=sorted(by_trial[trial.id], key=lambda r: r.epoch), metrics=metrics)
        for trial in sorted(trials, key=lambda trial: trial.number)
    )


def rank_incomplete(trials: Sequence[TrialSummary], *, objective: Objective) -> tuple[TrialSummary, ...]:
    """The study's own other trials that reported the objective, the best last report first."""
    reported = [
        trial
        for trial in trials
        if trial.origin is None
        and trial.outcome != Outcome.COMPLETE.value
        and math.isfinite(trial.objectives.get(objective.metric, math.nan))
    ]
    return tuple(sorted(reported, key=lambda trial: (_cost(trial, objective), trial.number)))


def _cost(trial: TrialSummary, objective: Objective) -> float:
    return objective.cost(trial.objectives[objective.metric])


def _front(ranked: Sequence[TrialSummary], *, objectives: Sequence[Objective]) -> tuple[TrialSummary, ...]:
    costs = {trial.number: tuple(_cost(trial, objective) for objective in objectives) for trial in ranked}
    return tuple(
        trial for trial in ranked if not any(_dominates(other, costs[trial.number]) for other in costs.values())
    )


def _dominates(cost: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return cost != other and all(a <= b for a, b in zip(cost, other, strict=True))


def _gain(best: TrialSummary | None, baseline: TrialSummary | None, *, objective: Objective) -> Gain | None:
    if best is None or baseline is None or not has_value(baseline):
        return None
    difference = best.objectives[objective.metric] - baseline.objectives[objective.metric]
    is_contended = best.is_contended or baseline.is_contended
    return Gain(
        objective=difference,
        is_better=_cost(best, objective) < _cost(baseline, objective),
        throughput_ratio=None if is_contended else _ratio(best.samples_per_second, baseline.samples_per_second),
        epoch_time_ratio=None if is_contended else _ratio(best.epoch_seconds, baseline.epoch_seconds),
    )


def _ratio(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None
