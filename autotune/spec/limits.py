"""What a parameter of a known name may be, whatever the user's range: kinds, bounds and words."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.spec.model import Parameter
from autotune.spec.names import nearest
from autotune.spec.places import Places
from autotune.spec.written import written


@dataclass(frozen=True)
class Limits:
    """Limits that every searched or fixed value of a parameter must keep to."""

    kind: Literal["number", "whole", "choices"]
    low: float | None = None
    high: float | None = None
    low_is_open: bool = False
    """The low bound itself is not allowed."""
    high_is_open: bool = False
    choices: tuple[Scalar, ...] = ()
    has_auto: bool = False
    """``auto`` is allowed as well."""
    words: tuple[str, ...] = ()
    """Words that are allowed beside numbers, though not as a bound of a range."""
    has_null: bool = False
    """``null``, which switches the parameter off, is allowed as well."""


def is_same(one: Scalar, other: Scalar) -> bool:
    """Whether two values are equal; unlike with ``==``, ``true`` is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def find_same(value: Scalar, choices: tuple[Scalar, ...]) -> Scalar | type[KeyError]:
    """The choice that equals the value; the class KeyError, which can't be a choice, where none does."""
    return next((choice for choice in choices if is_same(choice, value)), KeyError)


def declared_values(parameter: Parameter | Scalar) -> Iterator[tuple[str, Scalar]]:
    """Bounds, choices or the fixed value, each with its key below the parameter's own."""
    if not isinstance(parameter, Parameter):
        yield "", parameter
    elif parameter.type == "choices":
        for index, choice in enumerate(parameter.choices):
            yield f".choices.{index}", choice
    else:
        yield ".low", parameter.low
        yield ".high", parameter.high


def check_limits(parameter: Parameter | Scalar, limits: Limits, *, key: str, places: Places) -> None:
    """Check every bound, choice or fixed value of the parameter against the limits.

    Raises:
        SpecError: A value breaks a limit.
    """
    if isinstance(parameter, Parameter) and parameter.type != "choices":
        _check_range(parameter, limits, key=key, places=places)
    for suffix, value in declared_values(parameter):
        is_bound = suffix in {".low", ".high"}
        check_value(value, replace(limits, words=()) if is_bound else limits, key=key + suffix, places=places)


def check_value(value: Scalar, limits: Limits, *, key: str, places: Places) -> None:
    """Check one value against the limits.

    Raises:
        SpecError: The value breaks a limit.
    """
    if value in limits.words or (value == "auto" and limits.has_auto) or (value is None and limits.has_null):
        return
    if limits.kind == "choices":
        if find_same(value, limits.choices) is KeyError:
            raise _no_choice(value, limits, key=key, places=places)
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise places.error(key, rule="must be a number", got=written(value), remedy="write digits without quotes")
    if limits.kind == "whole" and not isinstance(value, int):
        raise places.error(key, rule="must be a whole number", got=written(value), remedy="write it without a point")
    if rule := _broken_bound(value, limits):
        raise places.error(key, rule=rule, got=written(value), remedy="move it inside")


def _check_range(parameter: Parameter, limits: Limits, *, key: str, places: Places) -> None:
    if limits.kind == "choices":
        example = f"{{choices: {written(limits.choices)}}}"
        raise places.error(key, rule="must be choices, not a range", got="low and high", remedy=f"write {example}")
    if limits.kind == "whole" and parameter.type == "float":
        raise places.error(
            key, rule="must be a range of whole numbers", got="floats", remedy="write low and high whole"
        )


def _no_choice(value: Scalar, limits: Limits, *, key: str, places: Places) -> SpecError:
    known = [written(choice) for choice in limits.choices]
    hint = nearest(written(value), known)
    remedy = f"did you mean {hint}?" if hint else "write one of them"
    return places.error(key, rule=f"must be one of {', '.join(known)}", got=written(value), remedy=remedy)


def _broken_bound(value: float, limits: Limits) -> str | None:
    if limits.low is not None:
        if limits.low_is_open and value <= limits.low:
            return f"must be above {limits.low:g}"
        if value < limits.low:
            return f"must be at least {limits.low:g}"
    if limits.high is not None:
        if limits.high_is_open and value >= limits.high:
            return f"must be below {limits.high:g}"
        if value > limits.high:
            return f"must be at most {limits.high:g}"
    return None
