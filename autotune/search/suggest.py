"""The walk over a search space: which parameters are active, and what each may be.

Optuna refuses a categorical parameter whose choices change from trial to trial. Where the
choices that are legal are others than those that Optuna knows, the parameter goes under a name
of its own, such as ``optimizer_impl[for_loop,foreach]``; outside this room it always has its
plain name.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import FrozenTrial, Trial

from autotune.events import Scalar
from autotune.search.space import SearchSpace, SpaceParameter

Choose: TypeAlias = Callable[[SpaceParameter, tuple[Scalar, ...]], Scalar]
"""Takes an active parameter and its legal choices (empty for a free range), gives a value."""


class MisfitError(Exception):
    """A value that the space doesn't have; never leaves this room."""


def walk(space: SearchSpace, choose: Choose) -> dict[str, Scalar]:
    """Every active parameter's value, in the space's order, then the fixed ones: they say less."""
    chosen = dict(space.fixed)
    for parameter in space.parameters:
        if not space.is_active(parameter, chosen):
            continue
        choices = parameter.legal_choices(chosen)
        if parameter.type == "choices" and not choices:
            continue
        chosen[parameter.name] = choose(parameter, choices)
    searched = {name: value for name, value in chosen.items() if name not in space.fixed}
    return {**searched, **space.fixed}


def distribution_of(parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> BaseDistribution:
    """Optuna's distribution of a parameter; ``choices`` are the legal ones."""
    if choices:
        return CategoricalDistribution(choices)
    assert parameter.low is not None
    assert parameter.high is not None
    high = highest(parameter)
    if parameter.type == "int":
        return IntDistribution(int(parameter.low), int(high), log=parameter.log, step=int(parameter.step or 1))
    return FloatDistribution(float(parameter.low), float(high), log=parameter.log, step=parameter.step)


def highest(parameter: SpaceParameter) -> float | int:
    """The upper end, on the grid of ``step``: Optuna warns of one that is beside it."""
    assert parameter.low is not None
    assert parameter.high is not None
    if not parameter.step:
        return parameter.high
    low, high, step = (Decimal(str(value)) for value in (parameter.low, parameter.high, parameter.step))
    end = low + (high - low) // step * step
    return int(end) if parameter.type == "int" else float(end)


def fit(space: SearchSpace, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The walk that these values take; every value is used, and none is missing.

    Raises:
        MisfitError: a value is missing, illegal, or of a parameter that isn't active here.
    """

    def choose(parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> Scalar:
        if parameter.name not in values or not parameter.has_value(values[parameter.name], choices=choices):
            raise MisfitError(parameter.name)
        return values[parameter.name]

    chosen = walk(space, choose)
    if chosen != dict(values):
        raise MisfitError(", ".join(sorted(chosen.keys() ^ values.keys())) or "a fixed value")
    return chosen


class Registry:
    """Under which name, and with which distribution, Optuna knows each parameter."""

    def __init__(self, space: SearchSpace) -> None:
        listed = (p for p in space.parameters if p.choices)
        self._known: dict[str, BaseDistribution] = {p.name: distribution_of(p, p.choices) for p in listed}

    def learn(self, trial: FrozenTrial) -> None:
        """Takes over what the study has on record: another machine may have had other choices."""
        self._known.update({name: d for name, d in trial.distributions.items() if plain_name(name) == name})

    def name_of(self, parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> str:
        """The parameter's name in Optuna's tables."""
        if self._is_compatible(parameter, choices):
            return parameter.name
        values = choices or (f"{parameter.low}..{parameter.high}",)
        return f"{parameter.name}[{','.join(str(value) for value in values)}]"

    def is_free(self, parameter: SpaceParameter) -> bool:
        """Whether it goes under its plain name in every trial, whatever is chosen before it."""
        return not parameter.requirements and self._is_compatible(parameter, parameter.choices)

    def _is_compatible(self, parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> bool:
        known = self._known.get(parameter.name)
        if known is None:
            return True
        try:
            check_distribution_compatibility(known, distribution_of(parameter, choices))
        except ValueError:
            return False
        return True

    def suggest(self, trial: Trial, parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> Scalar:
        """The sampler's value, or the one that the trial has already."""
        name = self.name_of(parameter, choices)
        if choices:
            value: Scalar = trial.suggest_categorical(name, choices)
            return value
        assert parameter.low is not None
        high = highest(parameter)
        if parameter.type == "int":
            step = int(parameter.step or 1)
            return trial.suggest_int(name, int(parameter.low), int(high), log=parameter.log, step=step)
        return trial.suggest_float(name, float(parameter.low), float(high), log=parameter.log, step=parameter.step)

    def register(
        self, space: SearchSpace, values: Mapping[str, Scalar]
    ) -> tuple[dict[str, Scalar], dict[str, BaseDistribution]]:
        """Searched values as Optuna's parameters and distributions; conditions aren't asked."""
        parameters: dict[str, Scalar] = {}
        distributions: dict[str, BaseDistribution] = {}
        for parameter in space.parameters:
            if parameter.name not in values:
                continue
            choices = parameter.legal_choices({**space.fixed, **values})
            name = self.name_of(parameter, choices)
            value = values[parameter.name]
            parameters[name] = float(value) if parameter.type == "float" and isinstance(value, int) else value
            distributions[name] = distribution_of(parameter, choices)
        return parameters, distributions


def plain_name(name: str) -> str:
    """The parameter that goes under this name in Optuna's tables."""
    return name.partition("[")[0] if name.endswith("]") else name
