"""One parameter of ``learning:`` or ``speed:``: a plain value, a range, or choices."""

from decimal import Decimal
from typing import Literal

from autotune.events import Scalar
from autotune.spec.model import Bound, Parameter
from autotune.spec.node import Node
from autotune.spec.written import written

_EXAMPLE = "{low: 1e-4, high: 1, log: true} or {choices: [a, b]}"
_KEYS = ("type", "low", "high", "log", "step", "choices", "when")
_RANGE_KEYS = ("low", "high", "log", "step")


def read_parameter(node: Node, *, is_float: bool = False) -> Parameter | Scalar:
    """A searched parameter, or the value that it is fixed to.

    Args:
        node: What the spec says.
        is_float: A range is one of floats even if both bounds are whole (``lr: {low: 0, high: 1}``).

    Raises:
        SpecError: It breaks a rule that holds for every parameter.
    """
    if isinstance(node.value, list):
        raise node.error(
            "must be a plain value, a range or choices", remedy=f"write {{choices: {written(node.value)}}}"
        )
    if not isinstance(node.value, dict):
        return node.scalar()
    fields = node.fields(_KEYS, example=_EXAMPLE)
    if "choices" in fields:
        return _read_choices(fields)
    if "low" not in fields or "high" not in fields:
        raise node.error("a searched parameter needs low and high, or choices", remedy=f"write {_EXAMPLE}")
    return _read_range(node, fields, is_float=is_float)


def _read_choices(fields: dict[str, Node]) -> Parameter:
    for key in _RANGE_KEYS:
        if key in fields:
            raise fields[key].error("choices take no low, high, log or step", remedy=f"remove {key} or choices")
    if "type" in fields and fields["type"].one_of(("float", "int", "choices")) != "choices":
        raise fields["type"].error("choices are of type choices", remedy="remove type")
    items = fields["choices"].items(example="[a, b]")
    if not items:
        raise fields["choices"].error("needs at least one choice", remedy="write [a, b], or remove the parameter")
    choices: list[Scalar] = []
    for item in items:
        choice = item.scalar()
        # Optuna looks a choice up with ==, for which 1, 1.0 and true are the same.
        if choice in choices:
            raise item.error("choices must differ from each other", remedy="remove one of the two")
        choices.append(choice)
    return Parameter(type="choices", choices=tuple(choices), when=_read_when(fields))


def _read_range(node: Node, fields: dict[str, Node], *, is_float: bool) -> Parameter:
    low, high = _read_bound(fields["low"]), _read_bound(fields["high"])
    kind = _read_type(fields, low=low, high=high, is_float=is_float)
    log = fields["log"].flag() if "log" in fields else False
    step = fields["step"].number() if "step" in fields else None
    if low != "auto" and high != "auto" and low >= high:
        raise node.error(
            "low must be below high",
            got=f"low={written(low)} and high={written(high)}",
            remedy="swap them, or write the one value alone",
        )
    if log:
        _check_log(fields, low=low)
    if step is not None:
        _check_step(fields["step"], low=low, high=high, step=step, kind=kind)
    if kind == "float":
        low, high = _as_float(low), _as_float(high)
    return Parameter(type=kind, low=low, high=high, log=log, step=step, when=_read_when(fields))


def _read_bound(node: Node) -> Bound:
    return "auto" if node.value == "auto" else node.number()


def _as_float(bound: Bound) -> Bound:
    return bound if bound == "auto" else float(bound)


def _read_type(fields: dict[str, Node], *, low: Bound, high: Bound, is_float: bool) -> Literal["float", "int"]:
    is_whole = all(isinstance(bound, int) or bound == "auto" for bound in (low, high))
    has_whole_step = "step" not in fields or isinstance(fields["step"].value, int)
    if "type" not in fields:
        return "int" if is_whole and has_whole_step and not is_float else "float"
    kind = fields["type"].one_of(("float", "int"))
    if kind == "int" and not is_whole:
        raise fields["type"].error(
            "an int range needs whole bounds",
            got=f"low={written(low)} and high={written(high)}",
            remedy="write whole bounds, or type: float",
        )
    return "int" if kind == "int" else "float"


def _check_log(fields: dict[str, Node], *, low: Bound) -> None:
    if low != "auto" and low <= 0:
        raise fields["low"].error(
            "a log range needs low > 0", got=f"low={written(low)}", remedy="raise low, or set log: false"
        )
    if "step" in fields:
        raise fields["step"].error("a log range takes no step", remedy="remove step, or set log: false")


def _check_step(node: Node, *, low: Bound, high: Bound, step: float, kind: str) -> None:
    if step <= 0:
        raise node.error("step must be above 0", remedy="raise it")
    if kind == "int" and not isinstance(step, int):
        raise node.error("the step of an int range must be whole", remedy="write a whole step, or type: float")
    if low == "auto" or high == "auto":
        return
    # Decimals, as Optuna does it: 0.3 is three steps of 0.1 for a person, and not for binary floats.
    start, end, width = (Decimal(str(number)) for number in (low, high, step))
    if width > end - start:
        raise node.error("step must fit between low and high", remedy="lower step, or widen the range")
    rest = (end - start) % width
    if rest:
        raise node.error(
            f"high must lie a whole number of steps above low={written(low)}",
            got=f"high={written(high)} with step={written(step)}",
            remedy=f"write high: {(end - rest).normalize():f}",
        )


def _read_when(fields: dict[str, Node]) -> dict[str, tuple[Scalar, ...]] | None:
    if "when" not in fields:
        return None
    parents = fields["when"].fields(example="{optimizer: [sgd, rmsprop]}")
    return {name: _read_values(parent) for name, parent in parents.items()}


def _read_values(node: Node) -> tuple[Scalar, ...]:
    if not isinstance(node.value, list):
        return (node.scalar(),)
    if not node.value:
        raise node.error(
            "a condition needs at least one value", remedy="write the values with which the parameter is active"
        )
    return tuple(item.scalar() for item in node.items(example="[sgd, rmsprop]"))
