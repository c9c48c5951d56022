"""``deadlines``: how long a trial may say nothing, and how long it may take."""

from autotune.spec.model import Deadlines
from autotune.spec.node import Node

EXAMPLE_DEADLINES = "{silence_seconds: 600, trial_seconds: 7200}"
DEADLINE_KEYS = ("silence_seconds", "trial_seconds")


def read_deadlines(node: Node) -> Deadlines:
    """The deadlines; what is absent is left to what the trials show."""
    fields = node.fields(DEADLINE_KEYS, example=EXAMPLE_DEADLINES)
    return Deadlines(**{key: _read_seconds(field) for key, field in fields.items()})


def _read_seconds(node: Node) -> float:
    seconds = node.number()
    if seconds <= 0:
        raise node.error("must be above 0", remedy="raise it, or leave it out")
    return float(seconds)
