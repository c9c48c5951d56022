"""The parameters of a spec with numbers for ``auto`` and with all their conditions, parents first."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.search.implied import conditions_of, requirements_of
from autotune.search.space import Condition, Requirement
from autotune.spec.conditions import find_circle
from autotune.spec.limits import Limits, check_limits
from autotune.spec.load import SpecFile
from autotune.spec.model import Parameter
from autotune.spec.names import nearest
from autotune.spec.written import written
from autotune.speed.knobs.knob import Knob

_MOST_CHOICES = 256


@dataclass(frozen=True)
class Declared:
    """One parameter as the spec has it, before the machine narrows it."""

    name: str
    group: Literal["learning", "speed"]
    parameter: Parameter | Scalar
    """A searched parameter, with numbers as bounds, or the value that it is fixed to. One with requirements on other
    parameters, such as ``accumulate``, has choices."""
    conditions: tuple[Condition, ...] = ()
    requirements: tuple[Requirement, ...] = ()

    @property
    def key(self) -> str:
        """The dotted key, as in the spec."""
        return f"{self.group}.{self.name}"

    @property
    def choices(self) -> tuple[Scalar, ...]:
        """Its choices, or the value that it is fixed to; empty for a range."""
        return self.parameter.choices if isinstance(self.parameter, Parameter) else (self.parameter,)

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Parameters that must be decided before this one."""
        return (*(c.parameter for c in self.conditions), *(r.parameter for r in self.requirements))


def declare(file: SpecFile, *, num_cores: int, knobs: Mapping[str, Knob]) -> tuple[Declared, ...]:
    """All parameters of the spec, each after those that it waits for, else in the order of the spec.

    Raises:
        SpecError: A knob is unknown or has an illegal value, or conditions form a circle.
    """
    _check_sections(file, knobs)
    found: dict[str, Declared] = {}
    for name, parameter in file.spec.learning.items():
        found[name] = Declared(name, "learning", parameter)
    for name, parameter in file.spec.speed.items():
        found[name] = Declared(name, "speed", _concrete(parameter, knobs[name], file=file, num_cores=num_cores))
    found = {name: _with_conditions(declared, file, knobs) for name, declared in found.items()}
    return _ordered(found, file)


def _check_sections(file: SpecFile, knobs: Mapping[str, Knob]) -> None:
    for name in file.spec.learning:
        if name in knobs:
            raise file.error(f"learning.{name}", rule="a knob stands under speed", got=name, remedy="move it to speed")
    for name, parameter in file.spec.speed.items():
        key = f"speed.{name}"
        if name not in knobs:
            hint = nearest(name, knobs)
            remedy = f"did you mean {hint}?" if hint else f"the knobs are {', '.join(knobs)}"
            raise file.error(key, rule="must be a knob", got=name, remedy=remedy)
        check_limits(parameter, _limits(knobs[name]), key=key, places=file.places)
        _check_alone(knobs[name], file)


def _check_alone(knob: Knob, file: SpecFile) -> None:
    if knob.excludes in file.spec.speed:
        rule = f"only one of {knob.name} and {knob.excludes} can be set: they are two names of one thing"
        raise file.error(f"speed.{knob.name}", rule=rule, got="both", remedy=f"remove {knob.excludes}")


def _limits(knob: Knob) -> Limits:
    if knob.choices:
        return Limits("choices", choices=knob.choices)
    return Limits("whole", low=knob.low, high=knob.high, has_auto=knob.has_auto, words=knob.words)


def _concrete(parameter: Parameter | Scalar, knob: Knob, *, file: SpecFile, num_cores: int) -> Parameter | Scalar:
    if not isinstance(parameter, Parameter):
        return num_cores if knob.has_auto and parameter == "auto" else parameter
    if parameter.type == "choices":
        numbers = [num_cores if knob.has_auto and choice == "auto" else choice for choice in parameter.choices]
        return parameter.model_copy(update={"choices": tuple(dict.fromkeys(numbers))})
    concrete = _with_bounds(parameter, knob, file=file, num_cores=num_cores)
    return _as_choices(concrete, knob, file=file) if knob.name == "accumulate" else concrete


def _with_bounds(parameter: Parameter, knob: Knob, *, file: SpecFile, num_cores: int) -> Parameter:
    low = num_cores if parameter.low == "auto" else parameter.low
    high = num_cores if parameter.high == "auto" else parameter.high
    assert isinstance(low, int)
    assert isinstance(high, int)
    if low > high:
        got = f"low={low} and high={high} (auto is {num_cores} cores here)"
        raise file.error(f"speed.{knob.name}", rule="low must not be above high", got=got, remedy="lower low")
    step = int(parameter.step or 1)
    return parameter.model_copy(update={"low": low, "high": low + (high - low) // step * step})


def _as_choices(parameter: Parameter, knob: Knob, *, file: SpecFile) -> Parameter:
    assert isinstance(parameter.low, int)
    assert isinstance(parameter.high, int)
    values = range(parameter.low, parameter.high + 1, int(parameter.step or 1))
    if len(values) > _MOST_CHOICES:
        key = f"speed.{knob.name}"
        rule = f"a range here has at most {_MOST_CHOICES} values"
        raise file.error(key, rule=rule, got=f"{len(values)}", remedy="write {choices: [1, 2, 4, 8]}")
    return Parameter(type="choices", choices=tuple(values), when=parameter.when)


def _with_conditions(declared: Declared, file: SpecFile, knobs: Mapping[str, Knob]) -> Declared:
    return replace(
        declared,
        conditions=conditions_of(declared.name, file.spec, knobs=knobs),
        requirements=requirements_of(declared.name, declared.choices, file.spec, knobs=knobs),
    )


def _ordered(found: dict[str, Declared], file: SpecFile) -> tuple[Declared, ...]:
    waits = {
        name: tuple(parent for parent in declared.waits_for if parent in found) for name, declared in found.items()
    }
    if circle := find_circle(waits):
        raise _circle_error(circle, found, file)
    ordered: dict[str, Declared] = {}

    def place(name: str) -> None:
        for parent in waits[name]:
            place(parent)
        ordered.setdefault(name, found[name])

    for name in found:
        place(name)
    return tuple(ordered.values())


def _circle_error(circle: tuple[str, ...], found: dict[str, Declared], file: SpecFile) -> SpecError:
    has_when = (name for name in circle if isinstance((p := found[name].parameter), Parameter) and p.when)
    name = next(has_when, circle[0])
    rule = "conditions, with those that go without saying, must not form a circle"
    got = written(" → ".join(circle))
    return file.error(f"{found[name].key}.when", rule=rule, got=got, remedy="remove the condition")
