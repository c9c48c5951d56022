"""A copy of the study in memory on which the pruner works.

It has one objective, the first, since Optuna prunes no study with several; the study's name and
trial numbers, since hyperband draws a trial's bracket from them; and no database, so that an
answer to a report costs no query.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState, create_trial

Direction: TypeAlias = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class MirrorTrial:
    """A trial as the pruner sees it."""

    number: int
    state: TrialState
    value: float | None = None
    reports: Mapping[int, float] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Optuna's system attributes, among them what the pruner noted down: JSON values."""


class Mirror:
    """The trials of one study with the first objective's reports, and the pruner's answers."""

    def __init__(self, name: str, *, direction: Direction, pruner: BasePruner) -> None:
        self._storage = InMemoryStorage()
        self._study = optuna.create_study(
            study_name=name,
            storage=self._storage,
            sampler=RandomSampler(seed=0),
            pruner=pruner,
            direction=direction,
        )
        self._study_id = self._storage.get_study_id_from_name(name)
        self._ids: list[int] = []

    def add(self, trial: MirrorTrial) -> None:
        """The next trial by number."""
        self._wait_until(trial.number)
        assert len(self._ids) == trial.number, "trials are added in the order of their numbers"
        template = create_trial(
            state=trial.state,
            value=trial.value if trial.state is TrialState.COMPLETE else None,
            intermediate_values=dict(trial.reports),
            system_attrs=dict(trial.attributes),
        )
        self._ids.append(self._storage.create_new_trial(self._study_id, template))

    def start(self, number: int) -> None:
        """The trial runs now; it is added if it is not there."""
        self._wait_until(number + 1)
        self._storage.set_trial_state_values(self._ids[number], TrialState.RUNNING)

    def _wait_until(self, length: int) -> None:
        # Numbers that we have not seen: trials that somebody queued, or that another process runs.
        while len(self._ids) < length:
            self._ids.append(self._storage.create_new_trial(self._study_id, create_trial(state=TrialState.WAITING)))

    def report(self, number: int, *, epoch: int, value: float) -> None:
        """The first objective's metric after an epoch; NaN is welcome, pruners know it."""
        self._storage.set_trial_intermediate_value(self._ids[number], epoch, value)

    def reports(self, number: int) -> Mapping[int, float]:
        """What was reported, by epoch."""
        return self._storage.get_trial(self._ids[number]).intermediate_values

    def should_prune(self, number: int) -> tuple[bool, Mapping[str, Any]]:
        """The pruner's answer, and what it noted down about the trial while it found it."""
        trial = self._storage.get_trial(self._ids[number])
        before = dict(trial.system_attrs)
        answer = self._study.pruner.prune(self._study, trial)
        after = self._storage.get_trial(self._ids[number]).system_attrs
        return answer, {key: value for key, value in after.items() if before.get(key) != value}

    def finish(self, number: int, *, state: TrialState, value: float | None) -> None:
        """The trial has ended; ``value`` where it is complete."""
        values = [value] if state is TrialState.COMPLETE and value is not None else None
        self._storage.set_trial_state_values(self._ids[number], state, values)
