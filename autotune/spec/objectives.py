"""``objective`` and ``objectives``: a metric with its direction, or the time to a target."""

from autotune.goals import MEASUREMENTS, Target
from autotune.spec.model import Objective
from autotune.spec.node import Node

EXAMPLE_OBJECTIVE = "{metric: val_accuracy, direction: maximize}"
_EXAMPLE_TARGET = "{time_to: {val_accuracy: 0.97}}"
_EXAMPLE_BOUND = "0.97, {at_least: 0.97} or {at_most: 0.3}"


def read_objectives(root: Node, fields: dict[str, Node]) -> tuple[Objective, ...]:
    """The objectives of a spec, each with a metric of its own; there is at least one."""
    if "objective" in fields and "objectives" in fields:
        raise fields["objectives"].error(
            "a study has either objective or objectives", got="both", remedy="remove one of them"
        )
    if "objective" in fields:
        return (_read_objective(fields["objective"]),)
    if "objectives" not in fields:
        raise root.inner("objective", None).error(
            "a study spec needs this key", got="none", remedy=f"write objective: {EXAMPLE_OBJECTIVE}"
        )
    objectives: list[Objective] = []
    for item in fields["objectives"].items(example=f"[{EXAMPLE_OBJECTIVE}, ...]"):
        objective = _read_objective(item)
        if objective.metric in {other.metric for other in objectives}:
            raise item.error(
                "each objective needs a metric of its own", got=objective.metric, remedy="remove one of them"
            )
        objectives.append(objective)
    if not objectives:
        raise fields["objectives"].error("needs at least one", remedy=f"write [{EXAMPLE_OBJECTIVE}]")
    return tuple(objectives)


def _read_objective(node: Node) -> Objective:
    fields = node.fields(("metric", "direction", "time_to"), example=EXAMPLE_OBJECTIVE)
    if "time_to" in fields:
        if len(fields) > 1:
            raise node.error("time_to has no metric and no direction beside it", remedy=f"write {_EXAMPLE_TARGET}")
        target = _read_target(fields["time_to"])
        return Objective(metric=target.objective, direction="minimize", target=target)
    for key in ("metric", "direction"):
        if key not in fields:
            raise node.error(f"an objective needs {key}", remedy=f"write {EXAMPLE_OBJECTIVE}")
    metric = fields["metric"].text(example="val_accuracy")
    direction = fields["direction"].one_of(("maximize", "minimize"))
    return Objective(metric=metric, direction="maximize" if direction == "maximize" else "minimize")


def _read_target(node: Node) -> Target:
    fields = node.fields(example=_EXAMPLE_TARGET)
    if len(fields) != 1:
        raise node.error("must name one metric with its target", remedy=f"write {_EXAMPLE_TARGET}")
    metric, inner = next(iter(fields.items()))
    if metric in MEASUREMENTS:
        raise inner.error("must be a metric of the task", got=metric, remedy=f"write {_EXAMPLE_TARGET}")
    if not isinstance(inner.value, dict):
        return Target(metric=metric, bound=inner.number(), is_at_least=True)
    bounds = inner.fields(("at_least", "at_most"), example=_EXAMPLE_BOUND)
    if len(bounds) != 1:
        raise inner.error("a target is one bound", remedy=f"write {_EXAMPLE_BOUND}")
    side, bound = next(iter(bounds.items()))
    return Target(metric=metric, bound=bound.number(), is_at_least=side == "at_least")
