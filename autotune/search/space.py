"""A search space that is resolved on one machine: what a sampler may propose, in order."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from autotune.events import Scalar


@dataclass(frozen=True)
class Condition:
    """Active when the named parameter is itself active and has one of the values.

    ``values`` None stands for "any number above zero" (``prefetch_factor`` needs workers).
    """

    parameter: str
    values: tuple[Scalar, ...] | None

    def holds(self, chosen: Mapping[str, Scalar]) -> bool:
        """Whether it holds, given what is chosen before."""
        if self.parameter not in chosen:
            return False
        value = chosen[self.parameter]
        if self.values is None:
            return isinstance(value, int | float) and value > 0
        return value in self.values


@dataclass(frozen=True)
class Requirement:
    """A choice that goes together with some values of another parameter only.

    It says nothing while that other parameter is not active.
    """

    choice: Scalar
    parameter: str
    values: tuple[Scalar, ...] = ()
    """The values it goes together with; empty where ``divisor`` decides."""
    divisor: int | None = None
    """The other value must be a multiple of this (``batch_size`` of ``accumulate``)."""

    def holds(self, chosen: Mapping[str, Scalar]) -> bool:
        """Whether the choice is legal, given what is chosen before."""
        if self.parameter not in chosen:
            return True
        value = chosen[self.parameter]
        if self.divisor is None:
            return value in self.values
        return isinstance(value, int) and value % self.divisor == 0


@dataclass(frozen=True)
class SpaceParameter:
    """One searched parameter; its bounds are numbers, its choices all possible here."""

    name: str
    group: Literal["learning", "speed"]
    type: Literal["float", "int", "choices"]
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None
    choices: tuple[Scalar, ...] = ()
    conditions: tuple[Condition, ...] = ()
    """All must hold; parents stand before their children in the space."""
    requirements: tuple[Requirement, ...] = ()
    """What some of the choices need; the parameters that they name stand before this one."""

    def legal_choices(self, chosen: Mapping[str, Scalar]) -> tuple[Scalar, ...]:
        """The choices that go together with what is chosen so far (fused needs a fused optimizer)."""
        if not self.requirements:
            return self.choices
        return tuple(choice for choice in self.choices if self._is_legal(choice, chosen))

    def has_value(self, value: Scalar, *, choices: tuple[Scalar, ...]) -> bool:
        """Whether it may have this value, its conditions aside; ``choices`` are the legal ones, none for a range."""
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
    """Parameters in an order in which each one's conditions are decided before it."""

    parameters: tuple[SpaceParameter, ...]
    fixed: Mapping[str, Scalar]
    left_out: tuple[LeftOut, ...]
    baseline: Mapping[str, Scalar]
    """The baseline as it applies here: searched parameters alone (what is left out or fixed is gone from it)."""

    @property
    def learning(self) -> "SearchSpace":
        """The part that is left to a sampler where races, or the baseline, decide the speed parameters."""
        searched = tuple(parameter for parameter in self.parameters if parameter.group == "learning")
        names = {parameter.name for parameter in searched}
        baseline = {name: value for name, value in self.baseline.items() if name in names}
        return replace(self, parameters=searched, baseline=baseline)

    @property
    def speed(self) -> "tuple[SpaceParameter, ...]":
        """The searched speed parameters."""
        return tuple(parameter for parameter in self.parameters if parameter.group == "speed")

    def with_speed(self, learning: Mapping[str, Scalar], wanted: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """These learning parameters with the wanted speed parameters, as far as they go together.

        A wanted value that is illegal here (``fused`` for an optimizer that has none) is left out, so
        that torch's default holds. One that the spec fixes, and that means something beside these
        others alone, goes along unasked.
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
        """Whether it is to be chosen, given what is chosen before it.

        All its conditions hold, and of its choices at least one is legal.
        """
        if not all(condition.holds(chosen) for condition in parameter.conditions):
            return False
        return parameter.type != "choices" or bool(parameter.legal_choices(chosen))
