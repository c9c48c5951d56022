"""The sampler that a study spec names, as one of Optuna's, over our own search space.

Optuna infers from past trials which parameters can be sampled together. Two things of ours
mislead it: the baseline names only some of the parameters, so that their intersection would
leave out all others for good; and a range that was widened stays narrow in the groups that TPE
remembers. The space knows the groups, so ``SpaceSampler`` tells them.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from typing_extensions import override

from autotune.search.plan import SearchPlan
from autotune.search.suggest import Registry, distribution_of

Group = dict[str, BaseDistribution]
"""Parameters that are always active together."""


def make_sampler(plan: SearchPlan, *, number: int, registry: Registry) -> BaseSampler:
    """The sampler for one trial, which has no state besides the study's rows.

    It is made anew for each trial, with a seed derived from the study's seed and the trial's
    number. So nothing is drawn twice after a restart, and an interrupted study proposes
    what it would have proposed without the interruption.
    """
    makers: dict[str, Callable[..., BaseSampler]] = {
        "tpe": _tpe,
        "gp": _gp,
        "cmaes": _cmaes,
        "qmc": _qmc,
        "random": _random,
        "grid": _random,  # stands in: grid.py proposes the cells, and is no sampler of Optuna's
        "nsgaii": _nsgaii,
    }
    draw = Draw(plan, registry=registry, seed=derive_seed(plan.seed, number=number))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return makers[plan.sampler.name](draw, **plan.sampler.options)


def derive_seed(seed: int, *, number: int) -> int:
    """32 bits that differ for each study seed and trial number, and repeat with them."""
    digest = hashlib.blake2b(f"sampler:{seed}:{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest)


@dataclass(frozen=True)
class Draw:
    """Everything that one trial's parameters are drawn from."""

    plan: SearchPlan
    registry: Registry
    seed: int

    def groups(self) -> list[Group]:
        """Searched parameters grouped by their conditions: those with equal conditions are active together.

        A parameter that has several names in Optuna's tables is in no group.
        """
        groups: dict[object, Group] = {}
        for parameter in self.plan.space.parameters:
            if self.registry.is_free(parameter):
                group = groups.setdefault(frozenset(parameter.conditions), {})
                group[parameter.name] = distribution_of(parameter, parameter.choices)
        return [searched for group in groups.values() if (searched := _without_single(group))]

    def shared(self) -> Group:
        """The searched parameters without conditions, which every proposal has."""
        unconditional = (p for p in self.plan.space.parameters if not p.conditions and self.registry.is_free(p))
        return _without_single({p.name: distribution_of(p, p.choices) for p in unconditional})


def _without_single(group: Group) -> Group:
    return {name: distribution for name, distribution in group.items() if not distribution.single()}


class SpaceSampler(BaseSampler):
    """Lets an Optuna sampler draw each group together, and all other parameters one by one."""

    def __init__(self, inner: BaseSampler, *, groups: Sequence[Group], needs_every_parameter: bool = False) -> None:
        self._inner = inner
        self._groups = groups
        self._needs_every_parameter = needs_every_parameter

    @override
    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> Group:
        return {name: distribution for group in self._groups for name, distribution in group.items()}

    @override
    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: Group) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        for group in self._groups:
            if self._needs_every_parameter:
                view, current = _trials_with(study, trial, group)
                drawn.update(self._inner.sample_relative(view, current, group))
            else:
                drawn.update(self._inner.sample_relative(study, trial, group))
        return drawn

    @override
    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    @override
    def reseed_rng(self) -> None:
        self._inner.reseed_rng()

    @override
    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._inner.before_trial(study, trial)

    @override
    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._inner.after_trial(study, trial, state, values)


def _trials_with(study: Study, trial: FrozenTrial, group: Group) -> tuple[Study, FrozenTrial]:
    """The study in memory, with the trials that have all these parameters, and ``trial`` as its last.

    The gp sampler reads each parameter of each complete trial, and the baseline lacks some.
    """
    view = optuna.create_study(directions=study.directions, sampler=RandomSampler(seed=0))
    for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING)):
        if other.number != trial.number and group.keys() <= other.params.keys():
            view.add_trial(other)
    view.add_trial(trial)
    return view, view.get_trials(deepcopy=False)[-1]


def _random(draw: Draw) -> BaseSampler:
    return RandomSampler(seed=draw.seed)


def _tpe(draw: Draw, *, startup_trials: int = 10, candidates: int = 24) -> BaseSampler:
    has_several = len(draw.plan.objectives) > 1
    sampler = TPESampler(
        seed=draw.seed,
        n_startup_trials=startup_trials,
        n_ei_candidates=candidates,
        multivariate=not has_several,
        constant_liar=draw.plan.jobs > 1,
    )
    # With several objectives Optuna draws each parameter by itself, too, since it found that better.
    return sampler if has_several else SpaceSampler(sampler, groups=draw.groups())


def _gp(draw: Draw, *, startup_trials: int = 10, deterministic: bool = False) -> BaseSampler:
    sampler = GPSampler(
        seed=draw.seed,
        n_startup_trials=startup_trials,
        deterministic_objective=deterministic,
        warn_independent_sampling=False,
    )
    return SpaceSampler(sampler, groups=_one_group(draw), needs_every_parameter=True)


def _cmaes(draw: Draw, *, startup_trials: int = 1, population: int | None = None) -> BaseSampler:
    sampler = CmaEsSampler(
        seed=draw.seed,
        n_startup_trials=startup_trials,
        popsize=population,
        warn_independent_sampling=False,
        # Else it learns only from the few trials that no pruner stopped. It takes a pruned trial's last report for its
        # value, which on the way to a target is no time.
        consider_pruned_trials=draw.plan.objectives[0].target is None,
    )
    numbers = {name: d for name, d in draw.shared().items() if not isinstance(d, CategoricalDistribution)}
    # A covariance needs two dimensions: cmaes refuses one.
    return SpaceSampler(sampler, groups=[numbers] if len(numbers) > 1 else [])


def _qmc(draw: Draw, *, sequence: str = "sobol", scramble: bool = True) -> BaseSampler:
    sampler = QMCSampler(
        qmc_type=sequence,
        scramble=scramble,
        seed=derive_seed(draw.plan.seed, number=0),  # one sequence for the whole study; Optuna keeps the place
        independent_sampler=RandomSampler(seed=draw.seed),
        warn_independent_sampling=False,
    )
    return SpaceSampler(sampler, groups=_one_group(draw))


def _nsgaii(draw: Draw, *, population: int = 20, mutation: float | None = None, crossover: float = 0.9) -> BaseSampler:
    sampler = NSGAIISampler(
        seed=draw.seed, population_size=population, mutation_prob=mutation, crossover_prob=crossover
    )
    return SpaceSampler(sampler, groups=_one_group(draw))


def _one_group(draw: Draw) -> list[Group]:
    shared = draw.shared()
    return [shared] if shared else []
