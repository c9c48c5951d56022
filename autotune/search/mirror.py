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

    def __init__(self, name: str, *, direction: Direction, pruner: BasePruner, steps: range = range(0)) -> None:
        """No trials yet.

        Args:
            name: The study's, from which hyperband draws its brackets.
            direction: Of the first objective.
            pruner: It answers.
            steps: Of a whole trial. A complete trial then has a value at each of them from its first
                report on: the last one before. Median and percentile compare values at one step
                alone, and trials don't report at the same seconds, nor do all of them train to the end.
        """
        self._steps = steps
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
        is_complete = trial.state is TrialState.COMPLETE
        template = create_trial(
            state=trial.state,
            value=trial.value if is_complete else None,
            intermediate_values=self._between(trial.reports)
            if trial.state is TrialState.COMPLETE
            else dict(trial.reports),
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

    def report(self, number: int, *, step: int, value: float) -> None:
        """What the first objective is judged by, at a step; NaN is welcome, pruners know it."""
        self._storage.set_trial_intermediate_value(self._ids[number], step, value)

    def reports(self, number: int) -> Mapping[int, float]:
        """What was reported, by step."""
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
        if state is TrialState.COMPLETE:
            reports = self.reports(number)
            for step, reported in self._between(reports).items():
                if step not in reports:
                    self._storage.set_trial_intermediate_value(self._ids[number], step, reported)
        values = [value] if state is TrialState.COMPLETE and value is not None else None
        self._storage.set_trial_state_values(self._ids[number], state, values)

    def _between(self, reports: Mapping[int, float]) -> dict[int, float]:
        """The reports, and at each step between and after them the last one before."""
        filled = dict(reports)
        value: float | None = None
        for step in self._steps:
            value = reports.get(step, value)
            if value is not None:
                filled.setdefault(step, value)
        return filled
