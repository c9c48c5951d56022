"""``when``: conditions name parameters that exist, values that can come up, and form no circle."""

from collections.abc import Mapping

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.spec.limits import is_same
from autotune.spec.model import Parameter
from autotune.spec.names import nearest
from autotune.spec.optimizers import OPTIMIZERS
from autotune.spec.places import Places
from autotune.spec.written import written


def check_conditions(groups: Mapping[str, Mapping[str, Parameter | Scalar]], *, places: Places) -> None:
    """Check every ``when`` of a spec; ``groups`` are its learning and speed parameters by section.

    Raises:
        SpecError: An unknown parameter, a value that never comes up, or a circle.
    """
    everything = {name: parameter for group in groups.values() for name, parameter in group.items()}
    keys = {name: f"{section}.{name}" for section, group in groups.items() for name in group}
    for name, parameter in everything.items():
        if not isinstance(parameter, Parameter) or parameter.when is None:
            continue
        for parent, values in parameter.when.items():
            key = f"{keys[name]}.when.{parent}"
            if parent not in everything:
                raise _unknown_parent(parent, everything, key=key, places=places)
            for value in values:
                _check_value(value, parent=parent, declared=everything[parent], key=key, places=places)
    parents = {name: tuple(_explicit_parents(parameter)) for name, parameter in everything.items()}
    if circle := find_circle(parents):
        key = keys[circle[0]]
        path = " → ".join(circle)
        raise places.error(
            f"{key}.when", rule="conditions must not form a circle", got=path, remedy="remove one of them"
        )


def find_circle(parents: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The first circle among parameters and those that they wait for: ``("a", "b", "a")``; None where there is none."""
    done: set[str] = set()
    for start in parents:
        if circle := _follow(start, parents, path=(), done=done):
            return circle
    return None


def _follow(
    name: str, parents: Mapping[str, tuple[str, ...]], *, path: tuple[str, ...], done: set[str]
) -> tuple[str, ...] | None:
    if name in path:
        return (*path[path.index(name) :], name)
    if name in done:
        return None
    for parent in parents.get(name, ()):
        if circle := _follow(parent, parents, path=(*path, name), done=done):
            return circle
    done.add(name)
    return None


def _explicit_parents(parameter: Parameter | Scalar) -> Mapping[str, tuple[Scalar, ...]]:
    return (parameter.when or {}) if isinstance(parameter, Parameter) else {}


def _unknown_parent(parent: str, known: Mapping[str, object], *, key: str, places: Places) -> SpecError:
    hint = nearest(parent, known)
    remedy = f"did you mean {hint}?" if hint else f"the parameters are {', '.join(known)}"
    return places.error(key, rule="when must name a parameter of this spec", got=written(parent), remedy=remedy)


def _check_value(value: Scalar, *, parent: str, declared: Parameter | Scalar, key: str, places: Places) -> None:
    # A fixed parent decides the condition for the whole study, which is how --set switches a branch off.
    if not isinstance(declared, Parameter):
        return
    if declared.type == "choices":
        is_possible = any(is_same(value, choice) for choice in declared.choices)
        # --set may have narrowed the choices: the name of any known optimizer is accepted then.
        if is_possible or (parent == "optimizer" and value in OPTIMIZERS):
            return
        hint = nearest(written(value), [written(choice) for choice in declared.choices])
        remedy = f"did you mean {hint}?" if hint else f"add it to the choices of {parent}, or correct it"
        raise places.error(key, rule=f"must be a choice of {parent}", got=written(value), remedy=remedy)
    if declared.type == "float":
        raise places.error(
            key,
            rule="a condition needs choices or whole numbers",
            got=f"{parent}, a range of floats",
            remedy=f"make {parent} choices",
        )
    if not _is_inside(value, declared):
        got = f"{written(value)} for {parent} from {written(declared.low)} to {written(declared.high)}"
        raise places.error(
            key, rule="must be a value that can come up", got=got, remedy="correct it, or widen the range"
        )


def _is_inside(value: Scalar, declared: Parameter) -> bool:
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    is_above = not isinstance(declared.low, int | float) or value >= declared.low
    return is_above and (not isinstance(declared.high, int | float) or value <= declared.high)
