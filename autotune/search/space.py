"""A search space that is resolved on one machine: what a sampler may propose, in order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autotune.events import Scalar


@dataclass(frozen=True)
class Condition:
    """Active when the named parameter is itself active and has one of the values.

    ``values`` None stands for "any number above zero" (``prefetch_factor`` needs workers).
    """

    parameter: str
    values: tuple[Scalar, ...] | None


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

    def legal_choices(self, chosen: Mapping[str, Scalar]) -> tuple[Scalar, ...]:
        """The choices that go together with what is chosen so far (fused needs a fused optimizer)."""
        raise NotImplementedError  # moves to the catalogue


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
    """The baseline as it applies here (knobs that are left out are gone from it)."""

    def is_active(self, parameter: SpaceParameter, chosen: Mapping[str, Scalar]) -> bool:
        """Whether all conditions of the parameter hold, given what is chosen before it."""
        return all(_holds(condition, chosen) for condition in parameter.conditions)


def _holds(condition: Condition, chosen: Mapping[str, Scalar]) -> bool:
    if condition.parameter not in chosen:
        return False
    value = chosen[condition.parameter]
    if condition.values is None:
        return isinstance(value, int | float) and value > 0
    return value in condition.values
