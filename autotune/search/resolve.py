"""A study spec on one machine: which parameters, which bounds, which choices, in which order."""

from autotune.hardware import Machine
from autotune.search.space import SearchSpace
from autotune.spec.load import SpecFile


def resolve_space(file: SpecFile, *, machine: Machine, num_cores: int) -> SearchSpace:
    """The search space of the spec on this machine.

    Args:
        file: The spec.
        machine: Where trials run.
        num_cores: Cores that one trial has; what ``auto`` stands for.

    Raises:
        SpecError: A rule of the spec that depends on the machine or the catalogue of knobs is broken.
    """
    raise NotImplementedError
