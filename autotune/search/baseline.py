"""The baseline of a spec: inside the space, whole in itself, and as it applies on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.search.declared import Declared
from autotune.search.space import Condition, LeftOut, SearchSpace, SpaceParameter
from autotune.spec.limits import find_same
from autotune.spec.load import SpecFile
from autotune.spec.model import Parameter
from autotune.spec.names import nearest
from autotune.spec.written import written
from autotune.speed.knobs.knob import Knob


def check_baseline(
    file: SpecFile, declared: Sequence[Declared], *, num_cores: int, knobs: Mapping[str, Knob]
) -> dict[str, Scalar]:
    """The baseline's values as the space has them, in the space's order, fixed parameters included.

    Raises:
        SpecError: A value lies outside the space, or can't be combined with the baseline's other values.
    """
    by_name = {parameter.name: parameter for parameter in declared}
    for name in file.spec.baseline:
        if name not in by_name:
            hint = nearest(name, by_name)
            remedy = (
                f"did you mean {hint}?"
                if hint
                else f"add {name}: {written(file.spec.baseline[name])} to learning, which fixes it, or remove it"
            )
            raise file.error(
                f"baseline.{name}", rule="must name a parameter of this spec", got=written(name), remedy=remedy
            )
    values: dict[str, Scalar] = {}
    for parameter in declared:
        if parameter.name in file.spec.baseline:
            value = file.spec.baseline[parameter.name]
            has_auto = parameter.name in knobs and knobs[parameter.name].has_auto
            number = num_cores if has_auto and value == "auto" else value
            values[parameter.name] = _inside(number, parameter, file)
    fixed = {d.name: d.parameter for d in declared if not isinstance(d.parameter, Parameter)}
    for name in values:
        _check_company(by_name[name], {**fixed, **values}, file, knobs)
    return values


def apply_baseline(
    space: SearchSpace, values: Mapping[str, Scalar], *, declared: Sequence[Declared], file: SpecFile
) -> SearchSpace:
    """The space with those values of the baseline that can be trained with on this machine.

    Parameters that the spec fixes are added where their conditions hold.

    Raises:
        SpecError: The baseline's optimizer does not exist here.
    """
    fixed_by_spec = {d.name: d.parameter for d in declared if not isinstance(d.parameter, Parameter)}
    wanted = {**fixed_by_spec, **values}
    chosen = dict(space.fixed)
    baseline: dict[str, Scalar] = {}
    left_out: list[LeftOut] = []
    for parameter in space.parameters:
        if parameter.name not in wanted or not space.is_active(parameter, chosen):
            continue
        value = wanted[parameter.name]
        if parameter.type == "choices" and value not in parameter.legal_choices(chosen):
            left_out.append(_without_choice(parameter, value, file))
            continue
        baseline[parameter.name] = chosen[parameter.name] = value
    return replace(space, baseline=baseline, left_out=(*space.left_out, *left_out))


def _without_choice(parameter: SpaceParameter, value: Scalar, file: SpecFile) -> LeftOut:
    if parameter.name == "optimizer":
        raise file.error(
            "baseline.optimizer",
            rule="must be there in this torch",
            got=written(value),
            remedy="choose another, or install a newer torch",
        )
    return LeftOut(parameter.name, f"the baseline's {written(value)} does not apply here, so trial 0 trains without it")


def _inside(value: Scalar, declared: Declared, file: SpecFile) -> Scalar:
    parameter = declared.parameter
    if isinstance(parameter, Parameter) and parameter.type != "choices":
        return _inside_range(value, parameter, declared, file)
    found = find_same(value, declared.choices)
    if found is KeyError:
        is_fixed = not isinstance(parameter, Parameter)
        choices = ", ".join(written(choice) for choice in declared.choices)
        rule = f"{declared.name} is fixed to {choices}" if is_fixed else f"must be one of {choices}"
        remedy = f"write {choices}, or remove it here" if is_fixed else f"add it to the choices of {declared.key}"
        raise file.error(f"baseline.{declared.name}", rule=rule, got=written(value), remedy=remedy)
    assert not isinstance(found, type)
    return found


def _inside_range(value: Scalar, parameter: Parameter, declared: Declared, file: SpecFile) -> Scalar:
    low, high = parameter.low, parameter.high
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    rule = f"must lie in the range of {declared.key}, {written(low)} to {written(high)}"
    remedy = f"move it inside, or widen {declared.key}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise file.error(f"baseline.{declared.name}", rule=rule, got=written(value), remedy=remedy)
    if parameter.type == "int" and value != int(value):
        raise file.error(f"baseline.{declared.name}", rule="must be a whole number", got=written(value), remedy=remedy)
    if parameter.step and (Decimal(str(value)) - Decimal(str(low))) % Decimal(str(parameter.step)):
        rule = f"must lie a whole number of steps of {parameter.step} above {written(low)}"
        raise file.error(f"baseline.{declared.name}", rule=rule, got=written(value), remedy="move it to a step")
    return int(value) if parameter.type == "int" else float(value)


def _check_company(declared: Declared, values: Mapping[str, Scalar], file: SpecFile, knobs: Mapping[str, Knob]) -> None:
    for condition in declared.conditions:
        in_force = values if condition.parameter in values else _as_torch_has_it(condition.parameter, knobs)
        if not condition.holds(in_force):
            raise _alone(declared, condition, in_force, file)
    for need in declared.requirements:
        in_force = values if need.parameter in values else _as_torch_has_it(need.parameter, knobs)
        if need.choice == values[declared.name] and not need.holds(in_force):
            raise file.error(
                f"baseline.{declared.name}",
                rule=f"must go together with {need.parameter}={written(in_force[need.parameter])}",
                got=written(need.choice),
                remedy="change one of the two",
            )


def _as_torch_has_it(name: str, knobs: Mapping[str, Knob]) -> Mapping[str, Scalar]:
    return {name: knobs[name].simplest} if name in knobs else {}


def _alone(declared: Declared, condition: Condition, values: Mapping[str, Scalar], file: SpecFile) -> SpecError:
    parent = condition.parameter
    wanted = "above 0" if condition.values is None else " or ".join(written(value) for value in condition.values)
    got = f"{parent}={written(values[parent])}" if parent in values else f"no {parent} in the baseline"
    return file.error(
        f"baseline.{declared.name}",
        rule=f"{declared.name} is active only with {parent} {wanted}",
        got=got,
        remedy=f"remove {declared.name} from the baseline, or set {parent}",
    )
