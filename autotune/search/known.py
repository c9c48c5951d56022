"""Chooses the trials that a sampler is told of: all, or in a large study those that matter."""

import heapq
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

MEMORYLESS = frozenset({"tpe", "random"})
"""Samplers that store no state, so that a proposal may be computed early and thrown away."""

AHEAD_FROM = 1000
"""From this trial number on, a proposal is made before the trials that run beside it have ended.

Below it a proposal costs little beside a trial, and each result matters."""

_NUM_BEST = 25
"""The most trials that tpe counts as good (``default_gamma`` in Optuna); all others tell it which regions are bad."""


@dataclass(frozen=True)
class Horizon:
    """The part of a study's trials that its sampler sees."""

    sampler: str
    jobs: int
    directions: Sequence[StudyDirection]
    num_trials: int = 2000
    """The most trials that tpe sees: the 25 best, and the newest. Its time for a proposal is proportional to them."""

    @property
    def is_memoryless(self) -> bool:
        """Whether a proposal may be computed and thrown away."""
        return self.sampler in MEMORYLESS

    def is_ahead(self, number: int) -> bool:
        """Whether this trial is proposed without the results of the last ``jobs`` before it.

        This depends on the number alone, so that an interrupted study proposes the same as one that was not
        interrupted.
        """
        return number >= AHEAD_FROM and self.is_memoryless

    def known(self, trials: Sequence[FrozenTrial], *, number: int) -> Sequence[FrozenTrial]:
        """The trials that the sampler is told of for its proposal ``number``, out of all trials by number."""
        if self.is_ahead(number):
            known = [trial for trial in trials if trial.number < number - self.jobs]
            trials = [*known, *(_as_running(trial) for trial in trials[len(known) :])]
        if self.sampler != "tpe" or len(self.directions) > 1 or len(trials) <= self.num_trials:
            return trials
        newest = trials[-(self.num_trials - _NUM_BEST) :]
        older = [trial for trial in trials[: -len(newest)] if trial.state is TrialState.COMPLETE]
        sign = -1 if self.directions[0] is StudyDirection.MAXIMIZE else 1
        best = heapq.nsmallest(_NUM_BEST, older, key=lambda trial: sign * (trial.value or 0.0))
        return [*sorted(best, key=lambda trial: trial.number), *newest]


def _as_running(trial: FrozenTrial) -> FrozenTrial:
    """The trial as it was before it had a result; one that runs or has failed is unchanged."""
    if not trial.state.is_finished() or trial.state is TrialState.FAIL:
        return trial
    running = copy(trial)
    running.state = TrialState.RUNNING
    running.values = None
    running.intermediate_values = {}
    return running
