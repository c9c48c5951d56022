"""``confirm``: how the winner is compared with the baseline on fresh seeds, when the search is over."""

from collections.abc import Sequence

from autotune.goals import MEASUREMENTS
from autotune.spec.model import Confirm, Objective
from autotune.spec.node import Node

CONFIRM_KEYS = ("repeats", "top", "target", "against")
EXAMPLE_CONFIRM = "{repeats: 3}"
MOST_REPEATS = 100
"""The most trainings a side; more would tell nothing worth their time."""


def read_confirm(node: Node, *, objectives: Sequence[Objective]) -> Confirm:
    """How the winner is confirmed, with the defaults; a target goes with a plain metric alone."""
    fields = node.fields(CONFIRM_KEYS, example=EXAMPLE_CONFIRM)
    if "repeats" in fields and fields["repeats"].whole(low=0) > MOST_REPEATS:
        raise fields["repeats"].error(f"must be at most {MOST_REPEATS}", remedy="lower it")
    objective = objectives[0]
    if "target" in fields and (objective.target is not None or objective.metric in MEASUREMENTS):
        rule = "a target goes with an objective that is a metric of the task"
        raise fields["target"].error(rule, got=objective.text, remedy="leave it out")
    default = Confirm()
    return Confirm(
        repeats=fields["repeats"].whole(low=0) if "repeats" in fields else default.repeats,
        top=fields["top"].whole(low=1) if "top" in fields else default.top,
        target=fields["target"].number() if "target" in fields else None,
        against=fields["against"].whole(low=0) if "against" in fields else default.against,
    )
