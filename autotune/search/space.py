"""A search space that is resolved on one machine: what a sampler may propose, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from autotune.events import Scalar


@dataclass(frozen=True)
class Condition:
    """Holds when the named parameter is itself active and has one of the values.

    ``values`` None stands for "any number above zero" (``prefetch_factor`` needs workers).
    """

    parameter: str
    values: tuple[Scalar, ...] | None

    def holds(self, chosen: Mapping[str, Scalar]) -> bool:
        """Whether the condition holds, given the values chosen before."""
        if self.parameter not in chosen:
            return False
        value = chosen[self.parameter]
        if self.values is None:
            return isinstance(value, int | float) and value > 0
        return value in self.values


@dataclass(frozen=True)
class Requirement:
    """A choice that is legal only beside some values of another parameter.

    It always holds while that other parameter is not active.
    """

    choice: Scalar
    parameter: str
    values: tuple[Scalar, ...] = ()
    """The other parameter's values beside which the choice is legal; not used where ``divisor`` is set."""
    divisor: int | None = None
    """The other parameter's value must be a multiple of this (``batch_size`` of ``accumulate``); None for no rule."""

    def holds(self, chosen: Mapping[str, Scalar]) -> bool:
        """Whether the choice is legal, given the values chosen before."""
        if self.parameter not in chosen:
            return True
        value = chosen[self.parameter]
        if self.divisor is None:
            return value in self.values
        return isinstance(value, int) and value % self.divisor == 0


@dataclass(frozen=True)
class SpaceParameter:
    """One searched parameter, with numbers as bounds, or with choices that are all possible on this machine."""

    name: str
    group: Literal["learning", "speed"]
    type: Literal["float", "int", "choices"]
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None
    choices: tuple[Scalar, ...] = ()
    conditions: tuple[Condition, ...] = ()
    """The parameter is active if all of these hold; the parameters they name stand before it in the space."""
    requirements: tuple[Requirement, ...] = ()
    """What single choices require; the parameters they name stand before this one in the space."""

    def legal_choices(self, chosen: Mapping[str, Scalar]) -> tuple[Scalar, ...]:
        """The choices that are legal beside the values chosen so far (``fused`` needs an optimizer that has it)."""
        if not self.requirements:
            return self.choices
        return tuple(choice for choice in self.choices if self._is_legal(choice, chosen))

    def has_value(self, value: Scalar, *, choices: tuple[Scalar, ...]) -> bool:
        """Whether the value is legal, conditions aside; ``choices`` are the legal choices, empty for a range."""
        if choices:
            return any(value == choice and type(value) is type(choice) for choice in choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.type == "int" and value != int(value):
            return False
        assert self.low is not None
        assert self.high is not None
        return self.low <= value <= self.high

    def _is_legal(self, choice: Scalar, chosen: Mapping[str, Scalar]) -> bool:
        return all(need.holds(chosen) for need in self.requirements if need.choice == choice)


@dataclass(frozen=True)
class LeftOut:
    """A parameter, or some of its choices, that do not apply on this machine."""

    name: str
    reason: str


@dataclass(frozen=True)
class SearchSpace:
    """Parameters in an order in which those that a condition names stand before the parameter that has it."""

    parameters: tuple[SpaceParameter, ...]
    fixed: Mapping[str, Scalar]
    left_out: tuple[LeftOut, ...]
    baseline: Mapping[str, Scalar]
    """The baseline's values of the searched parameters; those that are left out or fixed here are not in it."""

    @property
    def learning(self) -> "SearchSpace":
        """The space without searched speed parameters, for a sampler where races or the baseline decide those."""
        searched = tuple(parameter for parameter in self.parameters if parameter.group == "learning")
        names = {parameter.name for parameter in searched}
        baseline = {name: value for name, value in self.baseline.items() if name in names}
        return replace(self, parameters=searched, baseline=baseline)

    @property
    def speed(self) -> "tuple[SpaceParameter, ...]":
        """The searched speed parameters."""
        return tuple(parameter for parameter in self.parameters if parameter.group == "speed")

    def with_speed(self, learning: Mapping[str, Scalar], wanted: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """These learning parameters with those of the wanted speed parameters that are legal beside them.

        A wanted value that is illegal here (``fused`` for an optimizer that lacks it) is left out, so
        that torch's default holds. A speed parameter with a single choice is added wherever it is active.
        """
        chosen = {**self.fixed, **learning}
        for parameter in self.speed:
            if not self.is_active(parameter, chosen):
                continue
            legal = parameter.legal_choices(chosen)
            if len(parameter.choices) == 1:
                chosen[parameter.name] = parameter.choices[0]
            elif parameter.name in wanted and parameter.has_value(wanted[parameter.name], choices=legal):
                chosen[parameter.name] = wanted[parameter.name]
        searched = {name: value for name, value in chosen.items() if name not in self.fixed}
        return {**searched, **self.fixed}

    def is_active(self, parameter: SpaceParameter, chosen: Mapping[str, Scalar]) -> bool:
        """Whether the parameter gets a value, given the values chosen before it.

        It does if all its conditions hold, and at least one of its choices is legal.
        """
        if not all(condition.holds(chosen) for condition in parameter.conditions):
            return False
        return parameter.type != "choices" or bool(parameter.legal_choices(chosen))
