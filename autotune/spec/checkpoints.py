"""``checkpoints``: how much of the disk they may use."""

from autotune.spec.model import Checkpoints
from autotune.spec.node import Node

CHECKPOINT_KEYS = ("max_bytes",)
EXAMPLE_CHECKPOINTS = "{max_bytes: 20e9}"


def read_checkpoints(node: Node) -> Checkpoints:
    """What checkpoints may take of the disk, with the defaults; a whole number may be written as ``20e9``."""
    fields = node.fields(CHECKPOINT_KEYS, example=EXAMPLE_CHECKPOINTS)
    if "max_bytes" not in fields:
        return Checkpoints()
    limit = fields["max_bytes"].number()
    if limit < 0:
        raise fields["max_bytes"].error("must be at least 0", remedy="raise it, or leave it out")
    return Checkpoints(max_bytes=int(limit))
