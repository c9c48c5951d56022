"""Conditions and requirements that a spec need not state, since a parameter's name implies them."""

from collections.abc import Mapping

from autotune.events import Scalar
from autotune.search.space import Condition, Requirement
from autotune.spec.model import Parameter, StudySpec
from autotune.spec.optimizers import (
    DEFAULT_OPTIMIZER,
    OPTIMIZER_ARGUMENTS,
    OPTIMIZERS,
    is_own_optimizer,
    optimizers_that_accept,
)
from autotune.speed.knobs.knob import Knob

EVERYDAY_NAMES = frozenset({"alpha", "d", "rho", "t0", "lambd"})
"""Arguments of some optimizers whose names a task may also use for parameters of its own. Where no optimizer of the
study takes such an argument, it belongs to the task."""

_SCHEDULE_CONDITIONS = {"schedule_gamma": ("step",), "schedule_step": ("step",)}


def conditions_of(name: str, spec: StudySpec, *, knobs: Mapping[str, Knob]) -> tuple[Condition, ...]:
    """The conditions of a parameter: those that its ``when`` says, and those that its name implies."""
    parameter = declared_of(name, spec)
    when = parameter.when if isinstance(parameter, Parameter) else None
    explicit = tuple(Condition(parent, values) for parent, values in (when or {}).items())
    if when is not None and not when:
        return ()
    implied = (*_optimizer_condition(name, spec), *_nesterov_condition(name, spec), *_schedule_condition(name, spec))
    taken = {condition.parameter for condition in explicit}
    return (*explicit, *(c for c in implied if c.parameter not in taken), *_knob_condition(name, knobs))


def requirements_of(
    name: str, choices: tuple[Scalar, ...], spec: StudySpec, *, knobs: Mapping[str, Knob]
) -> tuple[Requirement, ...]:
    """What single choices of a parameter require of others: parameters of the spec, or knobs that it leaves out."""
    if name == "optimizer_impl":
        possible = optimizers_of(spec)
        needs = [Requirement(choice, "optimizer", _with_implementation(choice, possible)) for choice in choices]
    elif name == "accumulate":
        needs = [Requirement(n, "batch_size", divisor=n) for n in choices if isinstance(n, int) and n > 1]
    elif name == "nesterov" and True in choices:
        # torch.optim.SGD: "Nesterov momentum requires a momentum and zero dampening".
        needs = [Requirement(choice=True, parameter="dampening", values=(0,))]
    else:
        needs = []
    return (
        *(need for need in needs if need.parameter in (*spec.learning, *spec.speed)),
        *_companions(name, choices, spec, knobs),
    )


def _companions(
    name: str, choices: tuple[Scalar, ...], spec: StudySpec, knobs: Mapping[str, Knob]
) -> tuple[Requirement, ...]:
    # A knob that the spec leaves out keeps torch's default, with which a requirement either always or never holds.
    companions = knobs[name].companions if name in knobs else ()
    return tuple(
        Requirement(companion.choice, companion.knob, companion.values)
        for companion in companions
        if companion.choice in choices
        and (companion.knob in spec.speed or knobs[companion.knob].simplest not in companion.values)
    )


def optimizers_of(spec: StudySpec) -> tuple[str, ...]:
    """Every optimizer that the spec may train with."""
    declared = spec.learning.get("optimizer", DEFAULT_OPTIMIZER)
    values = declared.choices if isinstance(declared, Parameter) else (declared,)
    return tuple(str(value) for value in values)


def has_implementation(optimizer: str, implementation: Scalar) -> bool:
    """Whether the optimizer has the implementation; a user's own optimizer is assumed to have only the for-loop."""
    if optimizer in OPTIMIZERS:
        return implementation in OPTIMIZERS[optimizer].implementations
    return implementation == "for_loop"


def declared_of(name: str, spec: StudySpec) -> Parameter | Scalar:
    """The parameter as the spec declares it, whichever section it stands in."""
    groups: Mapping[str, Parameter | Scalar] = {**spec.learning, **spec.speed}
    return groups[name]


def _optimizer_condition(name: str, spec: StudySpec) -> tuple[Condition, ...]:
    if name not in OPTIMIZER_ARGUMENTS or "optimizer" not in spec.learning:
        return ()
    accepting = optimizers_that_accept(name)
    # Only a process with torch can read the signature of a user's class: it is assumed to accept every argument.
    possible = optimizers_of(spec)
    values = tuple(choice for choice in possible if choice in accepting or is_own_optimizer(choice))
    if values == possible or (not values and name in EVERYDAY_NAMES):
        return ()
    return (Condition("optimizer", values or accepting),)


def _nesterov_condition(name: str, spec: StudySpec) -> tuple[Condition, ...]:
    is_sgd_possible = "optimizer" in spec.learning and "sgd" in optimizers_of(spec)
    return (Condition("momentum", None),) if name == "nesterov" and is_sgd_possible else ()


def _schedule_condition(name: str, spec: StudySpec) -> tuple[Condition, ...]:
    if name not in _SCHEDULE_CONDITIONS or "schedule" not in spec.learning:
        return ()
    return (Condition("schedule", _SCHEDULE_CONDITIONS[name]),)


def _knob_condition(name: str, knobs: Mapping[str, Knob]) -> tuple[Condition, ...]:
    parent = knobs[name].needs_positive if name in knobs else None
    return (Condition(parent, None),) if parent else ()


def _with_implementation(implementation: Scalar, optimizers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(optimizer for optimizer in optimizers if has_implementation(optimizer, implementation))
