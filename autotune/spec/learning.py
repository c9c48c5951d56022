"""The learning parameters whose names mean something to the training loop; all others are the task's own."""

from collections.abc import Mapping

from autotune.events import Scalar
from autotune.spec.limits import Limits, check_limits, declared_values
from autotune.spec.model import Parameter
from autotune.spec.names import nearest
from autotune.spec.optimizers import OPTIMIZERS, is_own_optimizer
from autotune.spec.places import Places
from autotune.spec.written import written

SCHEDULES = ("constant", "cosine", "one_cycle", "step")
"""Courses of the learning rate over the steps of a trial."""

DEFAULT_BATCH_SIZE = 64
"""The batch size where a spec names none."""

_FLAG = Limits("choices", choices=(False, True))
_NOT_NEGATIVE = Limits("number", low=0)
_POSITIVE = Limits("number", low=0, low_is_open=True)
_SHARE = Limits("number", low=0, high=1)
_BELOW_ONE = Limits("number", low=0, high=1, high_is_open=True)

LEARNING_LIMITS: Mapping[str, Limits] = {
    "batch_size": Limits("whole", low=1),
    "lr": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "momentum": _SHARE,
    "nesterov": _FLAG,
    "beta1": _BELOW_ONE,
    "beta2": _BELOW_ONE,
    "eps": _NOT_NEGATIVE,
    "eps1": _NOT_NEGATIVE,
    "eps2": _NOT_NEGATIVE,
    "amsgrad": _FLAG,
    "decoupled_weight_decay": _FLAG,
    "centered": _FLAG,
    "lr_decay": _NOT_NEGATIVE,
    "initial_accumulator_value": _NOT_NEGATIVE,
    "beta2_decay": Limits("number", high=0),
    "momentum_decay": _NOT_NEGATIVE,
    "eta_minus": Limits("number", low=0, high=1, low_is_open=True, high_is_open=True),
    "eta_plus": Limits("number", low=1, low_is_open=True),
    "step_size_min": _POSITIVE,
    "step_size_max": _POSITIVE,
    "ns_steps": Limits("whole", low=1, high=99),
    "adjust_lr_fn": Limits("choices", choices=("original", "match_rms_adamw")),
    "schedule": Limits("choices", choices=SCHEDULES),
    "warmup": _SHARE,
    "schedule_gamma": _POSITIVE,
    "schedule_step": Limits("number", low=0, high=1, low_is_open=True),
    "gradient_clip": Limits("number", low=0, low_is_open=True, has_null=True),
}
"""Limits of learning parameters by name, so that a value that torch refuses is refused before a trial starts.
Arguments with everyday names (``alpha``, ``d``, ``rho``) are not here, since a task may use the name for its own."""


def is_number(name: str) -> bool:
    """Whether the name is known for a parameter that takes fractions, such as ``lr``."""
    return name in LEARNING_LIMITS and LEARNING_LIMITS[name].kind == "number"


def check_learning(parameters: Mapping[str, Parameter | Scalar], *, places: Places) -> None:
    """Check the learning parameters with known names against their limits.

    Raises:
        SpecError: One of them breaks a rule.
    """
    for name, parameter in parameters.items():
        if name == "optimizer":
            _check_optimizer(parameter, places=places)
        elif name in LEARNING_LIMITS:
            check_limits(parameter, LEARNING_LIMITS[name], key=f"learning.{name}", places=places)


def _check_optimizer(parameter: Parameter | Scalar, *, places: Places) -> None:
    key = "learning.optimizer"
    if isinstance(parameter, Parameter) and parameter.type != "choices":
        raise places.error(
            key, rule="must be choices, not a range", got="low and high", remedy="write {choices: [sgd, adam]}"
        )
    for suffix, value in declared_values(parameter):
        if value in OPTIMIZERS or is_own_optimizer(value):
            continue
        hint = nearest(str(value), OPTIMIZERS)
        remedy = f"did you mean {hint}?" if hint else f"there are {', '.join(OPTIMIZERS)}"
        if str(value).lower() == "lbfgs":
            remedy = "LBFGS needs a closure, which no trial has; remove it"
        rule = "must be an optimizer, or package.module:Class of your own"
        raise places.error(key + suffix, rule=rule, got=written(value), remedy=remedy)
