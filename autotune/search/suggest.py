"""The walk over a search space, which gives each active parameter a legal value.

Optuna refuses a categorical parameter whose choices change from trial to trial. Where the
legal choices differ from those that Optuna knows, the parameter gets another name in Optuna's tables,
such as ``optimizer_impl[for_loop,foreach]``; outside of ``search/`` it always has its
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
"""Function that chooses a value for an active parameter, given its legal choices (empty for a range)."""


class MisfitError(Exception):
    """A value does not fit the space; never raised out of ``search/``."""


def walk(space: SearchSpace, choose: Choose) -> dict[str, Scalar]:
    """The value of every active parameter, in the space's order, with the fixed ones at the end."""
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
    """Optuna's distribution of a parameter; ``choices`` are its legal choices, empty for a range."""
    if choices:
        return CategoricalDistribution(choices)
    assert parameter.low is not None
    assert parameter.high is not None
    high = highest(parameter)
    if parameter.type == "int":
        return IntDistribution(int(parameter.low), int(high), log=parameter.log, step=int(parameter.step or 1))
    return FloatDistribution(float(parameter.low), float(high), log=parameter.log, step=parameter.step)


def highest(parameter: SpaceParameter) -> float | int:
    """The upper bound, moved down to the grid of ``step``: Optuna warns of a bound beside it."""
    assert parameter.low is not None
    assert parameter.high is not None
    if not parameter.step:
        return parameter.high
    low, high, step = (Decimal(str(value)) for value in (parameter.low, parameter.high, parameter.step))
    end = low + (high - low) // step * step
    return int(end) if parameter.type == "int" else float(end)


def fit(space: SearchSpace, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The walk that chooses exactly these values.

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
        """Take over the distributions of a recorded trial: another machine may have had other choices."""
        self._known.update({name: d for name, d in trial.distributions.items() if plain_name(name) == name})

    def name_of(self, parameter: SpaceParameter, choices: tuple[Scalar, ...]) -> str:
        """The parameter's name in Optuna's tables."""
        if self._is_compatible(parameter, choices):
            return parameter.name
        values = choices or (f"{parameter.low}..{parameter.high}",)
        return f"{parameter.name}[{','.join(str(value) for value in values)}]"

    def is_free(self, parameter: SpaceParameter) -> bool:
        """Whether the parameter has its plain name in every trial, whatever is chosen before it."""
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
        """The value that the trial has already, or else a new one from its sampler."""
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
        """Optuna's parameters and distributions for searched values; conditions are not checked."""
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
    """The parameter that has this name in Optuna's tables."""
    return name.partition("[")[0] if name.endswith("]") else name
