"""Optuna's form of an outcome: a state, and attributes that the dashboard shows."""

from optuna.trial import TrialState

from autotune.events import Outcome

CONSTRAINT = "feasible"
"""Name of the constraint that an infeasible trial breaks."""

DASHBOARD_CONSTRAINTS = "constraints"
"""System attribute of Optuna before 5; the only constraints that optuna-dashboard 0.21 shows."""


def optuna_state(outcome: Outcome, *, has_reported: bool) -> TrialState:
    """The state in which Optuna keeps a trial that ended so.

    Running out of memory is never FAIL: samplers don't learn from failed trials and would go on
    proposing what can't run. A trial that runs out beside others waits for the device first, and is infeasible only
    if that does not help (``coordinator/crowds.py``).
    """
    if outcome is Outcome.COMPLETE:
        return TrialState.COMPLETE
    if outcome in {Outcome.PRUNED, Outcome.DIVERGED, Outcome.INFEASIBLE}:
        return TrialState.PRUNED
    if outcome is Outcome.TIMED_OUT and has_reported:
        return TrialState.PRUNED
    return TrialState.FAIL
