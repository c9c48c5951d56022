"""Everything that a spec may say of a sampler or a pruner reaches Optuna's object."""

from collections.abc import Iterator, Mapping
from typing import get_args

import pytest
from optuna.samplers import BaseSampler

from autotune.events import Scalar
from autotune.goals import Resource
from autotune.search.halving import Brackets
from autotune.search.pruners import Pruner, make_pruner
from autotune.search.samplers import make_sampler
from autotune.search.suggest import Registry
from autotune.spec.limits import Limits
from autotune.spec.load import parse_spec
from autotune.spec.model import Choice, StudySpec
from autotune.spec.policies import PRUNERS, SAMPLERS
from autotune.spec.written import written
from tests.search.spaces import conditional_space, plan_for

EPOCHS = 9
NEEDS: dict[str, dict[str, Scalar]] = {"threshold": {"lower": 0.0, "upper": 100.0}}
"""Options without which a policy is refused."""

HELD_IN = {
    ("tpe", "startup_trials"): "n_startup_trials",
    ("tpe", "candidates"): "n_ei_candidates",
    ("gp", "startup_trials"): "n_startup_trials",
    ("gp", "deterministic"): "deterministic",
    ("cmaes", "startup_trials"): "n_startup_trials",
    ("cmaes", "population"): "popsize",
    ("qmc", "sequence"): "qmc_type",
    ("qmc", "scramble"): "scramble",
    ("nsgaii", "population"): "population_size",
    ("nsgaii", "mutation"): "mutation_prob",
    ("nsgaii", "crossover"): "crossover_prob",
    ("hyperband", "min"): "min_resource",
    ("hyperband", "reduction_factor"): "reduction_factor",
    ("successive_halving", "min"): "min_resource",
    ("successive_halving", "reduction_factor"): "reduction_factor",
    ("median", "startup_trials"): "startup_trials",
    ("median", "warmup"): "warmup_steps",
    ("percentile", "percentile"): "percentile",
    ("percentile", "startup_trials"): "startup_trials",
    ("percentile", "warmup"): "warmup_steps",
    ("patient", "patience"): "patience",
    ("patient", "min_delta"): "min_delta",
    ("threshold", "lower"): "lower",
    ("threshold", "upper"): "upper",
    ("threshold", "warmup"): "n_warmup_steps",
}
"""The name under which Optuna's object, or ours in its place, has each option."""


def options_of(policies: Mapping[str, Mapping[str, Limits]]) -> list[tuple[str, str]]:
    return [(name, option) for name, options in policies.items() for option in options]


def legal_values(limits: Limits) -> tuple[Scalar, Scalar]:
    """Two values that the declaration allows; those of a range are its ends where it has any."""
    if limits.kind == "choices":
        return limits.choices[0], limits.choices[-1]
    low = 0 if limits.low is None else limits.low
    high = low + 5 if limits.high is None else limits.high
    return (int(low), int(high)) if limits.kind == "whole" else (low, high)


def resource_of(option: str) -> Resource | None:
    """What an option such as ``min_seconds`` counts in."""
    return next((resource for resource in get_args(Resource) if option.endswith(f"_{resource}")), None)


def read(group: str, name: str, options: Mapping[str, Scalar], *, resource: Resource = "epochs") -> StudySpec:
    """The spec of a study with this policy, through the border at which its options are checked."""
    policy = f"{{{name}: {written(options)}}}" if options else name
    per_trial = "" if resource == "epochs" else f", resource: {resource}, per_trial: {EPOCHS}"
    return parse_spec(
        "task: package.module:Task\n"
        "objective: {metric: val_loss, direction: minimize}\n"
        f"budget: {{trials: 5, epochs: {EPOCHS}{per_trial}}}\n"
        f"{group}: {policy}\n"
        "learning: {lr: {low: 0.1, high: 1}}\n",
        origin="s.yaml",
    ).spec


def sampler_of(choice: Choice) -> BaseSampler:
    space = conditional_space(is_finite=choice.name == "grid")
    plan = plan_for(space, sampler=choice.name, options=choice.options)
    return make_sampler(plan, number=3, registry=Registry(space))


def pruner_of(choice: Choice, *, max_resource: int = EPOCHS, resource: Resource = "epochs") -> Pruner:
    return make_pruner(choice, study="study", direction="minimize", max_resource=max_resource, resource=resource)


def settings_in(thing: object, *, path: str = "") -> Iterator[tuple[str, object]]:
    """The plain values in an object of Optuna's and in those that it is made of, by their paths."""
    for name, value in vars(thing).items():
        inner = f"{path}.{name.lstrip('_')}"
        if value is None or isinstance(value, bool | int | float | str):
            yield inner, value
        elif type(value).__module__.partition(".")[0] in {"optuna", "autotune"} and hasattr(value, "__dict__"):
            yield from settings_in(value, path=inner)


def changed(one: object, other: object) -> dict[str, tuple[object, object]]:
    """The settings in which two objects differ, by their last names."""
    ones, others = dict(settings_in(one)), dict(settings_in(other))
    assert ones.keys() == others.keys()
    paths = [path for path in ones if ones[path] != others[path]]
    return {path.rpartition(".")[2]: (ones[path], others[path]) for path in paths}


@pytest.mark.parametrize(("name", "option"), options_of(SAMPLERS))
def test_every_option_of_a_sampler_is_accepted_and_reaches_optuna(name: str, option: str) -> None:
    values = legal_values(SAMPLERS[name][option])
    one, other = (sampler_of(read("sampler", name, {option: value}).sampler) for value in values)

    assert changed(one, other)[HELD_IN[name, option]] == values


@pytest.mark.parametrize(("name", "option"), options_of(PRUNERS))
def test_every_option_of_a_pruner_is_accepted_and_reaches_optuna(name: str, option: str) -> None:
    values = legal_values(PRUNERS[name][option])
    # Optuna counts the steps that it exempts from 0, we count epochs from 1.
    offset = 1 if option.startswith("warmup") else 0
    needed = NEEDS.get(name, {})
    resource = resource_of(option) or "epochs"
    choices = [read("pruner", name, {**needed, option: value}, resource=resource).pruner for value in values]
    pruners = [pruner_of(choice, resource=resource) for choice in choices]

    low, high = changed(*pruners)[HELD_IN[name, option.removesuffix(f"_{resource}")]]

    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    assert (low - offset, high - offset) == values


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_needs_no_option(name: str) -> None:
    assert isinstance(sampler_of(read("sampler", name, {}).sampler), BaseSampler)


@pytest.mark.parametrize("name", PRUNERS)
def test_every_pruner_needs_no_other_option(name: str) -> None:
    choice = read("pruner", name, NEEDS.get(name, {})).pruner

    assert isinstance(pruner_of(choice, max_resource=1), Pruner)


def shares_of(pruner: Pruner) -> list[tuple[int, ...]]:
    return [thing.shares for thing in vars(pruner).values() if isinstance(thing, Brackets)]


def test_hyperband_spends_a_whole_trial_at_most() -> None:
    assert shares_of(pruner_of(Choice(name="hyperband"))) == [(9, 5, 3)]


@pytest.mark.parametrize("resource", ["seconds", "samples"])
def test_hyperband_has_four_brackets_of_what_is_no_epoch(resource: Resource) -> None:
    pruner = pruner_of(Choice(name="hyperband"), max_resource=2700, resource=resource)

    assert dict(settings_in(pruner))[".min_resource"] == 100
    assert [len(shares) for shares in shares_of(pruner)] == [4]
