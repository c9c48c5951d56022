"""``budget``: what a study may spend in all, and what one trial gets of it."""

from autotune.goals import Resource
from autotune.spec.model import Budget
from autotune.spec.node import Node

EXAMPLE_BUDGET = "{trials: 30, seconds: 600, epochs: 6}"
_KEYS = ("trials", "seconds", "epochs", "resource", "per_trial")
_EXAMPLES: dict[Resource, str] = {
    "seconds": "{resource: seconds, per_trial: 20}",
    "samples": "{resource: samples, per_trial: 100000}",
}
_MOST_EPOCHS = 1000
"""Epoch limit of a trial whose length is counted in seconds or samples, where the spec names no epochs."""


def read_budget(node: Node) -> Budget:
    """The budget: it has trials, seconds or both, and ``per_trial`` only where the resource is not epochs."""
    fields = node.fields(_KEYS, example=EXAMPLE_BUDGET)
    if "trials" not in fields and "seconds" not in fields:
        raise node.error("a budget needs trials, seconds or both", remedy=f"write {EXAMPLE_BUDGET}")
    seconds = fields["seconds"].number() if "seconds" in fields else None
    if seconds is not None and seconds <= 0:
        raise fields["seconds"].error("must be above 0", remedy="raise it")
    resource = _read_resource(fields["resource"]) if "resource" in fields else "epochs"
    most_epochs = Budget().epochs if resource == "epochs" else _MOST_EPOCHS
    return Budget(
        trials=fields["trials"].whole(low=1) if "trials" in fields else None,
        seconds=seconds,
        epochs=fields["epochs"].whole(low=1) if "epochs" in fields else most_epochs,
        resource=resource,
        per_trial=_read_per_trial(node, fields, resource=resource),
    )


def _read_resource(node: Node) -> Resource:
    match node.one_of(("epochs", "seconds", "samples")):
        case "seconds":
            return "seconds"
        case "samples":
            return "samples"
        case _:
            return "epochs"


def _read_per_trial(node: Node, fields: dict[str, Node], *, resource: Resource) -> int | None:
    if resource == "epochs":
        if "per_trial" in fields:
            raise fields["per_trial"].error(
                "goes with resource: seconds or resource: samples", remedy="write epochs instead, or name the resource"
            )
        return None
    if "per_trial" not in fields:
        raise node.error(f"resource: {resource} needs per_trial", remedy=f"write {_EXAMPLES[resource]}")
    return fields["per_trial"].whole(low=1)
