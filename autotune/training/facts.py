"""What torch says about itself and its devices; ``python -m autotune.training.facts`` prints it as JSON."""

from autotune.hardware import TorchFacts


def torch_facts() -> TorchFacts:
    """The facts, without initialising CUDA, so that a process may fork afterwards."""
    raise NotImplementedError
