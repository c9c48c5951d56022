"""Proposes trials: first the baseline, then trials that somebody queued, then those of the sampler or the grid."""

from collections.abc import Mapping, Sequence

from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from autotune.events import Scalar
from autotune.goals import BASELINE_NUMBER
from autotune.search.draft import Draft, start_draft
from autotune.search.grid import Grid
from autotune.search.known import Horizon
from autotune.search.plan import SearchPlan
from autotune.search.proposals import Proposal
from autotune.search.samplers import derive_seed, make_sampler
from autotune.search.stored import StoredTrials
from autotune.search.suggest import Registry, walk
from autotune.search.trials import parameters_of


class Proposer:
    """Writes each new trial of a study to Optuna's tables, RUNNING, with all its parameters.

    With the grid sampler it knows the combinations that are left; with others it may hold the next
    trial ready in memory.
    """

    def __init__(
        self, study: Study, *, storage: RDBStorage, trials: StoredTrials, plan: SearchPlan, registry: Registry
    ) -> None:
        self._study = study
        self._storage = storage
        self._trials = trials
        self._plan = plan
        self._space = plan.space
        self._registry = registry
        self._grid = Grid(plan.space) if plan.sampler.name == "grid" else None
        self._horizon = Horizon(plan.sampler.name, plan.jobs, study.directions)
        self._highest = BASELINE_NUMBER
        self._ahead: Draft | None = None

    def next(self) -> Proposal | None:
        """The next trial; None when every combination of a grid has been proposed."""
        trials = self._trials.all()
        if not trials:
            return self.propose(self._space.baseline, attributes={"is_baseline": True})
        has_queued = self._trials.refuse_misfits(trials, space=self._space)
        if has_queued:
            return self._walk(self._study.ask())
        if self._grid is None:
            return self._write(self._draft(trials))
        cell = self._next_cell(trials)
        return None if cell is None else self.propose(cell)

    def propose(self, values: Mapping[str, Scalar], *, attributes: dict[str, Scalar] | None = None) -> Proposal:
        """Add a trial with these values, without asking a sampler."""
        searched, distributions = self._registry.register(self._space, values)
        template = create_trial(
            state=TrialState.RUNNING, params=searched, distributions=distributions, user_attrs=attributes
        )
        return self._add(template)

    def adopt(self, optuna_id: int) -> Proposal:
        """The proposal of a RUNNING trial, with the same parameters; parameters that a crash left out are added."""
        frozen = self._trials.by_id(optuna_id)
        if frozen.number == BASELINE_NUMBER:
            # The baseline is written whole and has some parameters only: a walk would add the others.
            return self._noted(Proposal(BASELINE_NUMBER, optuna_id, parameters_of(frozen, self._space)))
        return self._walk(Trial(self._study, optuna_id))

    def look_ahead(self) -> None:
        """Compute the next trial early, where it does not depend on results that are still to come."""
        if self._grid is None and self._ahead is None and self._horizon.is_ahead(self._highest + 1):
            self._draft(self._trials.all())

    def foresee(self, like: Mapping[str, Scalar]) -> tuple[int, Mapping[str, Scalar]] | None:
        """Number and parameters of the next trial, as far as they can be told before the results of those that run.

        None where somebody has queued a trial, or a grid is exhausted.

        Args:
            like: Stands for what a sampler would propose that can't be asked without leaving a trace.
        """
        trials = self._trials.all()
        if not trials or any(trial.state is TrialState.WAITING for trial in trials):
            return None
        number = trials[-1].number + 1
        if self._grid is not None:
            cell = self._next_cell(trials)
            return None if cell is None else (number, {**cell, **self._space.fixed})
        if self._horizon.is_memoryless:
            return number, parameters_of(self._draft(trials).template, self._space)
        return number, like

    def _next_cell(self, trials: Sequence[FrozenTrial]) -> Mapping[str, Scalar] | None:
        """The combination of the grid that comes after these trials; None when there is none."""
        assert self._grid is not None
        for trial in trials:
            self._grid.mark(trial.number, parameters_of(trial, self._space))
        return self._grid.next(derive_seed(self._plan.seed, number=len(trials)))

    def _walk(self, trial: Trial) -> Proposal:
        self._study.sampler = make_sampler(self._plan, number=trial.number, registry=self._registry)
        parameters = walk(self._space, lambda p, choices: self._registry.suggest(trial, p, choices))
        return self._noted(Proposal(trial.number, self._trials.id_of(trial.number), parameters))

    def _draft(self, trials: Sequence[FrozenTrial]) -> Draft:
        """The next trial with its parameters, before it is in any table."""
        number = trials[-1].number + 1
        if self._ahead is not None and self._ahead.template.number == number:
            return self._ahead
        draft = start_draft(
            self._study,
            storage=self._storage,
            trials=self._horizon.known(trials, number=number),
            number=number,
            sampler=make_sampler(self._plan, number=number, registry=self._registry),
        )
        walk(self._space, lambda p, choices: self._registry.suggest(draft.trial, p, choices))
        self._ahead = draft if self._horizon.is_ahead(number) else None
        return draft

    def _write(self, draft: Draft) -> Proposal:
        self._ahead = None
        return self._add(draft.template)

    def _add(self, template: FrozenTrial) -> Proposal:
        added = self._trials.add(template)
        parameters = parameters_of(added, self._space)
        return self._noted(Proposal(added.number, self._trials.id_of(added.number), parameters))

    def _noted(self, proposal: Proposal) -> Proposal:
        self._highest = max(self._highest, proposal.number)
        return proposal
