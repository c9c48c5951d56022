"""Converts trials between Optuna's form and ours."""

import math
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial

from autotune.events import Outcome, Scalar
from autotune.search.mirror import MirrorTrial
from autotune.search.outcomes import CONSTRAINT, DASHBOARD_CONSTRAINTS, optuna_state
from autotune.search.plan import TrialHistory
from autotune.search.space import SearchSpace
from autotune.search.suggest import MisfitError, Registry, fit, plain_name

ORIGIN = "origin"
"""User attribute of a trial that another study ran: the study's name, and the number there."""

IS_CONTENDED = "is_contended"
"""User attribute of a trial beside which others ran: its throughput compares with nothing."""

SPEED_FALLBACK = "speed_fallback"
"""User attribute that says why a trial trains with the baseline's speed parameters though a race found others."""

QUEUED = "fixed_params"
"""System attribute in which Optuna keeps the values that a trial was queued with."""


def parameters_of(trial: FrozenTrial, space: SearchSpace) -> dict[str, Scalar]:
    """All parameters that the trial trains with, the space's fixed ones included, by their plain names."""
    return {**{plain_name(name): value for name, value in trial.params.items()}, **space.fixed}


def attributes_of(
    outcome: Outcome, reason: str | None, *, samples_per_second: float | None = None
) -> dict[str, Scalar]:
    """User attributes that say how a trial ended.

    The dashboard offers those that are numbers as axes of its plots, beside the objective.
    """
    facts: dict[str, Scalar] = {"outcome": str(outcome), "reason": reason, "samples_per_second": samples_per_second}
    return {name: value for name, value in facts.items() if value is not None}


def queued_misfit(trial: FrozenTrial, space: SearchSpace) -> str | None:
    """One line about the first value of a queued trial that the space doesn't have; None where all fit.

    Optuna itself would only warn, and propose the value.
    """
    parameters = {parameter.name: parameter for parameter in space.parameters}
    for name, value in trial.system_attrs.get(QUEUED, {}).items():
        parameter = parameters.get(name)
        if parameter is None:
            return f"queued with {name}, which the search space doesn't have"
        if not parameter.has_value(value, choices=parameter.choices):
            return f"queued with {name}={value}, which is outside the search space"
    return None


def mirror_trial(trial: FrozenTrial, reports: dict[int, float]) -> MirrorTrial:
    """The trial as the pruner sees it; of a trial of another study it sees only the number."""
    if ORIGIN in trial.user_attrs:
        return MirrorTrial(trial.number, TrialState.FAIL)
    if trial.state is TrialState.WAITING:
        return MirrorTrial(trial.number, TrialState.WAITING)
    return MirrorTrial(trial.number, trial.state, reports=reports, attributes=trial.system_attrs)


def imported_trial(
    history: TrialHistory, *, space: SearchSpace, registry: Registry, origin: str, num_objectives: int
) -> FrozenTrial | None:
    """An ended trial of another study as one of this study; None when it doesn't fit or teaches nothing."""
    if history.outcome in {None, Outcome.INTERRUPTED}:
        return None
    assert history.outcome is not None
    state = optuna_state(history.outcome, has_reported=bool(history.reports))
    values = history.values if state is TrialState.COMPLETE else None
    if state is TrialState.FAIL or (state is TrialState.COMPLETE and not _is_usable(values, num_objectives)):
        return None
    try:
        fit(space, history.parameters)
    except MisfitError:
        return None
    reports = {epoch: value for epoch, value in history.reports.items() if math.isfinite(value)}
    if num_objectives > 1:
        reports = {}
    if state is TrialState.PRUNED and reports:
        values = (reports[max(reports)],)
    parameters, distributions = registry.register(space, history.parameters)
    is_infeasible = history.outcome is Outcome.INFEASIBLE
    constraints: dict[str, Any] = {DASHBOARD_CONSTRAINTS: [1.0]} if is_infeasible else {}
    return create_trial(
        state=state,
        values=values,
        params=parameters,
        distributions=distributions,
        intermediate_values=reports,
        user_attrs={
            **attributes_of(history.outcome, history.reason, samples_per_second=history.samples_per_second),
            ORIGIN: origin,
            **({IS_CONTENDED: True} if history.is_contended else {}),
        },
        system_attrs=constraints,
        constraints={CONSTRAINT: 1.0} if is_infeasible else None,
    )


def _is_usable(values: tuple[float, ...] | None, num_objectives: int) -> bool:
    return values is not None and len(values) == num_objectives and all(math.isfinite(value) for value in values)
