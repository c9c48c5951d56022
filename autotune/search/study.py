"""A study's search, kept in Optuna's tables: it proposes trials, stops hopeless ones, and learns from results.

Its state is in three places: the study in Optuna's tables, which the sampler reads and
the dashboard shows; a mirror of it in memory, on which the pruner works; and, with the grid
sampler, the combinations that are left. All are made again from the tables when a study is
opened.
"""

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Self

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import NopPruner
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from autotune.errors import StorageError, StudyNotFoundError
from autotune.events import Outcome, Scalar
from autotune.goals import BASELINE_NUMBER
from autotune.search.mirror import Mirror
from autotune.search.outcomes import optuna_state
from autotune.search.plan import SearchPlan, TrialHistory
from autotune.search.proposals import Proposal, RunningTrial
from autotune.search.proposer import Proposer
from autotune.search.pruners import make_pruner
from autotune.search.samplers import make_sampler
from autotune.search.stored import StoredTrials
from autotune.search.suggest import Registry
from autotune.search.trials import (
    IS_CONTENDED,
    ORIGIN,
    SPEED_FALLBACK,
    attributes_of,
    imported_trial,
    mirror_trial,
    parameters_of,
)


class Search:
    """One study's sampler, pruner and Optuna rows, driven by whoever runs the trials.

    Get one from ``create`` or ``open``. Not for several threads.
    """

    def __init__(self, name: str, *, storage: RDBStorage, plan: SearchPlan) -> None:
        self._plan = plan
        self._storage = storage
        self._registry = Registry(plan.space)
        sampler = make_sampler(plan, number=BASELINE_NUMBER, registry=self._registry)
        # The mirror prunes, so this study needs no pruner. With hyperband Optuna means to show a
        # sampler the trials of one bracket alone, yet in 5.0.0 samplers read past that filter:
        # proposals are the same with it and without.
        self._study = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=NopPruner())
        self._trials = StoredTrials(self._study, storage=storage)
        self._proposer = Proposer(self._study, storage=storage, trials=self._trials, plan=plan, registry=self._registry)
        self._running: set[int] = set()
        self._begun_anew: set[int] = set()
        """Others' trials that fell back to the baseline's speed parameters: the mirror has nothing of before."""
        self._mirror = self._reflect({})

    @classmethod
    def create(cls, name: str, *, storage: RDBStorage, plan: SearchPlan) -> Self:
        """A new Optuna study; raises StorageError when one of this name has trials or other directions.

        An existing one without trials is used, since a start that was cut off leaves one behind.
        """
        directions = [objective.direction for objective in plan.objectives]
        study = optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
        if study.get_trials(deepcopy=False) or [d.name.lower() for d in study.directions] != directions:
            raise StorageError(
                f"study {name}: its name must be new to Optuna's tables, got one that is there; choose another --name"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([objective.metric for objective in plan.objectives])
        return cls(name, storage=storage, plan=plan)

    @classmethod
    def open(cls, name: str, *, storage: RDBStorage, plan: SearchPlan) -> Self:
        """The Optuna study of this name; raises StudyNotFoundError when there is none."""
        try:
            return cls(name, storage=storage, plan=plan)
        except KeyError as error:
            raise StudyNotFoundError(
                f"study {name}: Optuna's tables must have it, got none; it may have been deleted in the dashboard"
            ) from error

    @property
    def storage(self) -> RDBStorage:
        """Optuna's storage of the study."""
        return self._storage

    @property
    def study_id(self) -> int:
        """Optuna's id of the study, which the dashboard's addresses hold."""
        return self._trials.study_id

    def ask(self) -> Proposal | None:
        """The next trial; None when every combination of a grid has been proposed.

        Trial 0 is the baseline, with exactly the baseline's parameters. A trial that somebody
        queued with Optuna (``enqueue_trial``, or the dashboard) comes before all others.
        """
        proposal = self._proposer.next()
        return None if proposal is None else self._start(proposal)

    def ask_for(self, values: Mapping[str, Scalar]) -> Proposal:
        """Add a trial with these values, without asking the sampler."""
        return self._start(self._proposer.propose(values))

    def ask_again(self, values: Mapping[str, Scalar] | None = None) -> Proposal | None:
        """Repeat an ``ask`` or ``ask_for`` whose answer was lost; a trial that it may have made is adopted.

        Only for a study that no other process asks for trials.
        """
        for running in self.in_flight():
            if running.number not in self._running:
                return self.adopt(running.optuna_id)
        return self.ask() if values is None else self.ask_for(values)

    def ask_ahead(self) -> None:
        """Compute the next trial early, where it does not depend on results that are still to come.

        It is kept in memory until ``ask`` writes it.
        """
        self._proposer.look_ahead()

    def foresee(self, *, like: Mapping[str, Scalar]) -> tuple[int, Mapping[str, Scalar]] | None:
        """Number and parameters of the next trial, as it would be proposed now; nothing is written down.

        Results that are still to come may change it. None where a queued trial is next, or a grid is exhausted.

        Args:
            like: Parameters that stand for those of a sampler that can't be asked without leaving a trace.
        """
        return self._proposer.foresee(like)

    def running(self) -> tuple[RunningTrial, ...]:
        """Trials in the state RUNNING, by number."""
        return tuple(RunningTrial(number, self._trials.id_of(number)) for number in sorted(self._running))

    def in_flight(self) -> tuple[RunningTrial, ...]:
        """Trials in the state RUNNING, by number, read from the tables now: those of other coordinators included."""
        return tuple(RunningTrial(number, optuna_id) for number, optuna_id in self._trials.in_flight())

    def stored_parameters(self, optuna_id: int) -> Mapping[str, Scalar]:
        """The parameters that the tables have of a trial; of one that is being asked for, perhaps not all."""
        return parameters_of(self._trials.by_id(optuna_id), self._plan.space)

    def take_over(self, number: int) -> None:
        """Run a trial of another coordinator here from now on."""
        self._running.add(number)

    def observe(self, history: TrialHistory) -> None:
        """Tell the pruner what another coordinator has recorded of one of its trials."""
        number = history.number
        if self._mirror.is_over(number):
            return
        if history.speed_fallback is not None and number not in self._begun_anew:
            self._begun_anew.add(number)
            self._mirror.forget(number)
        for step, value in sorted(history.reports.items()):
            if step not in self._mirror.reports(number):
                self._mirror.report(number, step=step, value=value)
                self._mirror.should_prune(number)  # counts its rungs; the answer is left to its coordinator
        if history.outcome is not None and history.outcome is not Outcome.INTERRUPTED:
            state = optuna_state(history.outcome, has_reported=bool(self._mirror.reports(number)))
            self._mirror.finish(number, state=state)
            self._running.discard(number)

    def adopt(self, optuna_id: int) -> Proposal:
        """Go on with a RUNNING trial, with the same parameters; an ask that was cut off is completed."""
        return self._start(self._proposer.adopt(optuna_id))

    def report(self, number: int, *, step: int, value: float) -> None:
        """Store the first objective's value at a step of the resource, and tell the pruner.

        Of several reports at one step the first counts, so that repeating a report has no effect.
        """
        self.store_reports([(number, step, value)])
        self.note_report(number, step=step, value=value)

    def store_reports(self, reports: Sequence[tuple[int, int, float]]) -> None:
        """Store (trial number, step, value) for the dashboard and later starts, in one transaction."""
        # With several objectives Optuna's tpe raises an error for a pruned trial that has
        # reports. Samplers would learn from a value that is not finite, so none is stored.
        if len(self._plan.objectives) == 1:
            self._trials.add_reports(
                [
                    (number, step, value)
                    for number, step, value in reports
                    if number in self._running and math.isfinite(value)
                ]
            )

    def note_report(self, number: int, *, step: int, value: float) -> None:
        """Tell the pruner of a report that is stored; the first one at a step counts."""
        if number in self._running and step not in self._mirror.reports(number):
            self._mirror.report(number, step=step, value=value)

    def should_prune(self, number: int) -> bool:
        """The pruner's answer to what was reported so far.

        False for the baseline, which everything is compared with, and for a trial that has used
        its whole resource.
        """
        if number not in self._running:
            return False
        answer, notes = self._mirror.should_prune(number)
        # The pruner's notes about a trial (successive halving: its rungs) have to outlive this process.
        self._trials.set_notes(number, notes=notes)
        last_step = max(self._mirror.reports(number), default=0)
        return answer and number != BASELINE_NUMBER and last_step < self._plan.max_resource

    def tell(
        self,
        number: int,
        *,
        outcome: Outcome,
        values: Sequence[float] | None = None,
        reason: str | None = None,
        samples_per_second: float | None = None,
    ) -> None:
        """Record a trial's end; a second call has no effect.

        Args:
            number: The trial.
            outcome: How it ended; INTERRUPTED ends it for good, as failed.
            values: One for each objective of a complete trial. A value that is not finite makes it diverged.
            reason: One line that the dashboard shows.
            samples_per_second: Its throughput, which the dashboard plots like an objective.
        """
        if number not in self._running:
            return
        if outcome is Outcome.COMPLETE and not all(math.isfinite(value) for value in values or ()):
            outcome = Outcome.DIVERGED
        state = optuna_state(outcome, has_reported=bool(self._mirror.reports(number)))
        final = [float(value) for value in values or ()] if state is TrialState.COMPLETE else None
        self.set_attributes(number, attributes=attributes_of(outcome, reason, samples_per_second=samples_per_second))
        if outcome is Outcome.INFEASIBLE:
            self._trials.set_infeasible(number)
        self._trials.finish(number, state=state, values=final)
        self._mirror.finish(number, state=state)
        self._running.discard(number)

    def mark_contended(self, number: int) -> None:
        """Record that other trials run beside this RUNNING one."""
        self.set_attributes(number, attributes={IS_CONTENDED: True})

    def note_fallback(self, number: int, *, reason: str | None) -> None:
        """Record why this RUNNING trial begins anew with the baseline's speed parameters: a race's were infeasible.

        Its earlier reports are forgotten. The attribute is written last, and so says that nothing of them is left.
        """
        self._trials.forget_course(number, notes=self._mirror.forget(number))
        self.set_attributes(number, attributes={SPEED_FALLBACK: reason})

    def set_attributes(self, number: int, *, attributes: Mapping[str, Scalar]) -> None:
        """Set user attributes of a RUNNING trial, which the dashboard shows."""
        self._trials.set_attributes(number, attributes=attributes)

    def import_trials(self, histories: Sequence[TrialHistory], *, source: str) -> Mapping[int, int]:
        """Take over ended trials of the study ``source`` that fit this space, for the sampler to learn from.

        Call it after the baseline was asked for. The trials have the user attribute ``origin``, such as
        ``mnist/12``, and don't count against this study's budget.

        Returns:
            The source's trial number by this study's number, for all trials that were taken over, those of
            an earlier call (one that crashed half way) included.
        """
        trials = self._trials.all()
        assert trials, "trial 0 is the baseline: ask for it before trials are imported"
        known = {trial.user_attrs.get(ORIGIN): trial.number for trial in trials}
        taken: dict[int, int] = {}
        for history in histories:
            origin = f"{source}/{history.number}"
            number = known.get(origin)
            if number is None:
                number = self._import(history, origin=origin)
            if number is not None:
                taken[number] = history.number
        return taken

    def reconcile(self, histories: Sequence[TrialHistory], *, elsewhere: Collection[int] = ()) -> None:
        """After a restart, add the reports and endings that our tables have and Optuna's lack.

        Trials that run ``elsewhere`` are left to their coordinators.
        """
        mine = self._running.difference(elsewhere)
        fallen = {history.number: history for history in histories if history.speed_fallback is not None}
        for trial in self._trials.all():
            if trial.number in mine & fallen.keys() and SPEED_FALLBACK not in trial.user_attrs:
                self.note_fallback(trial.number, reason=fallen[trial.number].speed_fallback)
        reports = {history.number: history.reports for history in histories}
        self._mirror = self._reflect(reports)
        for history in histories:
            if history.number not in self._running or history.number in elsewhere:
                continue
            self.store_reports([(history.number, step, value) for step, value in history.reports.items()])
            if history.outcome is not None and history.outcome is not Outcome.INTERRUPTED:
                self.tell(
                    history.number,
                    outcome=history.outcome,
                    values=history.values,
                    reason=history.reason,
                    samples_per_second=history.samples_per_second,
                )

    def _start(self, proposal: Proposal) -> Proposal:
        self._running.add(proposal.number)
        return proposal

    def _import(self, history: TrialHistory, *, origin: str) -> int | None:
        decided_here = {n: v for n, v in history.parameters.items() if n not in self._plan.elsewhere}
        template = imported_trial(
            replace(history, parameters=decided_here),
            space=self._plan.space,
            registry=self._registry,
            origin=origin,
            num_objectives=len(self._plan.objectives),
        )
        if template is None:
            return None
        return self._trials.add(template).number

    def _reflect(self, reports: Mapping[int, Mapping[int, float]]) -> Mirror:
        plan = self._plan
        pruner = make_pruner(
            plan.pruner,
            study=self._study.study_name,
            direction=plan.objectives[0].direction,
            max_resource=plan.max_resource,
            resource=plan.resource,
        )
        mirror = Mirror(pruner=pruner, steps=plan.steps)
        self._running.clear()
        self._begun_anew.clear()
        for trial in self._trials.all():
            self._registry.learn(trial)
            mirror.add(mirror_trial(trial, {**trial.intermediate_values, **reports.get(trial.number, {})}))
            if trial.state is TrialState.RUNNING:
                self._running.add(trial.number)
        return mirror
