"""Facts about the optimizers of torch.optim that train without a closure, as a table without torch.

A contract test holds the table against the real signatures. LBFGS is absent: it needs a closure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from autotune.events import Scalar

Implementation: TypeAlias = Literal["for_loop", "foreach", "fused"]

DEFAULT_OPTIMIZER = "adam"
"""What trains when a study spec names no optimizer."""


@dataclass(frozen=True)
class OptimizerFacts:
    """One optimizer as a study spec sees it."""

    name: str
    """The name in a spec, in lower case."""
    class_name: str
    """Its class in torch.optim."""
    arguments: tuple[str, ...]
    """Names that a spec may set. Each element of a tuple has a name of its own; see ``tuples``."""
    implementations: tuple[Implementation, ...]
    """Values of ``optimizer_impl`` that it has."""
    tuples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """torch's tuple argument → the names in a spec of its elements: ``betas`` → beta1, beta2."""


_BETAS = {"betas": ("beta1", "beta2")}
_ADAM_FAMILY = ("lr", "weight_decay", "beta1", "beta2", "eps")
_LOOPS: tuple[Implementation, ...] = ("for_loop", "foreach")
_ALL: tuple[Implementation, ...] = ("for_loop", "foreach", "fused")

_TABLE = (
    OptimizerFacts("sgd", "SGD", ("lr", "weight_decay", "momentum", "dampening", "nesterov"), _ALL),
    OptimizerFacts("adam", "Adam", (*_ADAM_FAMILY, "amsgrad", "decoupled_weight_decay"), _ALL, _BETAS),
    OptimizerFacts("adamw", "AdamW", (*_ADAM_FAMILY, "amsgrad"), _ALL, _BETAS),
    OptimizerFacts("rmsprop", "RMSprop", ("lr", "weight_decay", "momentum", "alpha", "eps", "centered"), _LOOPS),
    OptimizerFacts("adagrad", "Adagrad", ("lr", "weight_decay", "lr_decay", "initial_accumulator_value", "eps"), _ALL),
    OptimizerFacts("adadelta", "Adadelta", ("lr", "weight_decay", "rho", "eps"), _LOOPS),
    OptimizerFacts(
        "adafactor",
        "Adafactor",
        ("lr", "weight_decay", "beta2_decay", "eps1", "eps2", "d"),
        _LOOPS,
        {"eps": ("eps1", "eps2")},
    ),
    OptimizerFacts("adamax", "Adamax", _ADAM_FAMILY, _LOOPS, _BETAS),
    OptimizerFacts("asgd", "ASGD", ("lr", "weight_decay", "lambd", "alpha", "t0"), _LOOPS),
    OptimizerFacts("nadam", "NAdam", (*_ADAM_FAMILY, "momentum_decay", "decoupled_weight_decay"), _LOOPS, _BETAS),
    OptimizerFacts("radam", "RAdam", (*_ADAM_FAMILY, "decoupled_weight_decay"), _LOOPS, _BETAS),
    OptimizerFacts(
        "rprop",
        "Rprop",
        ("lr", "eta_minus", "eta_plus", "step_size_min", "step_size_max"),
        _LOOPS,
        {"etas": ("eta_minus", "eta_plus"), "step_sizes": ("step_size_min", "step_size_max")},
    ),
    OptimizerFacts("sparse_adam", "SparseAdam", ("lr", "beta1", "beta2", "eps"), ("for_loop",), _BETAS),
    OptimizerFacts(
        "muon", "Muon", ("lr", "weight_decay", "momentum", "nesterov", "eps", "ns_steps", "adjust_lr_fn"), ("for_loop",)
    ),
)

OPTIMIZERS: Mapping[str, OptimizerFacts] = {facts.name: facts for facts in _TABLE}
"""torch's optimizers by their name in a spec; any other name must be ``package.module:Class``."""

OPTIMIZER_ARGUMENTS: frozenset[str] = frozenset(name for facts in _TABLE for name in facts.arguments)
"""Every name that is an argument of some optimizer here."""


def optimizers_that_accept(argument: str) -> tuple[str, ...]:
    """Names of the table's optimizers that take this argument, in the table's order."""
    return tuple(facts.name for facts in _TABLE if argument in facts.arguments)


def as_fraction(value: Scalar) -> Scalar:
    """An element of a tuple argument as torch takes it: Adam's betas must be floats, even 0."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def is_own_optimizer(name: object) -> bool:
    """Whether this names a class of the user's: ``package.module:Class``, or ``path/to/file.py:Class``."""
    if not isinstance(name, str):
        return False
    module, colon, class_name = name.rpartition(":")
    return bool(colon and module.strip()) and class_name.isidentifier()
