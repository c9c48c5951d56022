"""Which trials a sampler is told of: all, or in a large study those that matter."""

import heapq
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

MEMORYLESS = frozenset({"tpe", "random"})
"""Samplers that note nothing down: what they would propose can be found out and thrown away."""

AHEAD_FROM = 1000
"""The first trial that is proposed before those that run beside it, or before it, have ended.

Up to there a proposal costs little beside a trial, and each result counts."""

_NUM_BEST = 25
"""tpe's good trials, of any number (``default_gamma`` in Optuna); the others only tell where it is bad."""


@dataclass(frozen=True)
class Horizon:
    """What a study's sampler looks back on."""

    sampler: str
    jobs: int
    directions: Sequence[StudyDirection]
    num_trials: int = 2000
    """That tpe sees: its 25 best, and the newest. A proposal costs it time in proportion to them."""

    def is_ahead(self, number: int) -> bool:
        """Whether this trial is proposed without the results of the last ``jobs`` before it.

        It hangs on the number alone, so that an interrupted study proposes what one that wasn't does,
        be a proposal made early or late.
        """
        return number >= AHEAD_FROM and self.sampler in MEMORYLESS

    def known(self, trials: Sequence[FrozenTrial], *, number: int) -> Sequence[FrozenTrial]:
        """Of all trials by number, those that the sampler is told of for its proposal ``number``."""
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
    """The trial before it had a result."""
    if not trial.state.is_finished() or trial.state is TrialState.FAIL:
        return trial
    running = copy(trial)
    running.state = TrialState.RUNNING
    running.values = None
    running.intermediate_values = {}
    return running
