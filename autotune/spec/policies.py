"""Samplers, pruners and ways to search the speed parameters by name, and the options that each takes."""

from collections.abc import Mapping
from typing import get_args

from autotune.events import Scalar
from autotune.goals import Resource
from autotune.spec.limits import Limits, check_value
from autotune.spec.model import Budget, Choice
from autotune.spec.node import Node
from autotune.spec.written import written

_COUNT = Limits("whole", low=0)
_POSITIVE_COUNT = Limits("whole", low=1)
_FLAG = Limits("choices", choices=(False, True))
_SHARE = Limits("number", low=0, high=1)
_MOST = 10_000
"""Limit on counts: above it a proposal takes minutes, or more memory than there is."""

SAMPLERS: Mapping[str, Mapping[str, Limits]] = {
    "tpe": {"startup_trials": _COUNT, "candidates": Limits("whole", low=1, high=_MOST)},
    "gp": {"startup_trials": _COUNT, "deterministic": _FLAG},
    # No sigma option: Optuna 6 gives it up. A population below four has no covariance to learn from.
    "cmaes": {"startup_trials": _COUNT, "population": Limits("whole", low=4, high=_MOST)},
    "qmc": {"sequence": Limits("choices", choices=("sobol", "halton")), "scramble": _FLAG},
    "random": {},
    "grid": {},
    "nsgaii": {"population": Limits("whole", low=2, high=_MOST), "mutation": _SHARE, "crossover": _SHARE},
}
"""Options of each sampler by name, and what each may be.

``search/samplers.py`` has an argument of the same name, with its default, for every option here.
"""

_RESOURCES: tuple[Resource, ...] = get_args(Resource)


def _counted(name: str, limits: Limits) -> Mapping[str, Limits]:
    """An option that counts in the budget's resource, and says so in its name: ``min_epochs``, ``min_seconds``."""
    return {f"{name}_{resource}": limits for resource in _RESOURCES}


PRUNERS: Mapping[str, Mapping[str, Limits]] = {
    "hyperband": {**_counted("min", _POSITIVE_COUNT), "reduction_factor": Limits("whole", low=2)},
    "successive_halving": {**_counted("min", _POSITIVE_COUNT), "reduction_factor": Limits("whole", low=2)},
    "median": {"startup_trials": _COUNT, **_counted("warmup", _COUNT)},
    "percentile": {
        "percentile": Limits("number", low=0, high=100),
        "startup_trials": _COUNT,
        **_counted("warmup", _COUNT),
    },
    "patient": {"patience": _COUNT, "min_delta": Limits("number", low=0)},
    "threshold": {"lower": Limits("number"), "upper": Limits("number"), **_counted("warmup", _COUNT)},
    "none": {},
}
"""Options of each pruner by name, and what each may be.

``search/pruners.py`` has an argument for each; ``min_epochs`` and ``min_seconds`` are the same argument there.
"""

SPEED_SEARCHES: Mapping[str, Mapping[str, Limits]] = {
    "race": {"share": Limits("number", low=0, high=1, low_is_open=True, high_is_open=True)},
    "joint": {},
    "fixed": {},
}
"""How speed parameters are chosen: by races, which may take ``share`` of the study's time (0.1 unless
given); by the sampler, like learning parameters; or as the baseline has them."""


def read_speed_search(node: Node, *, has_learning: bool) -> Choice:
    """The way to search the speed parameters; with any but ``joint`` the sampler gets learning parameters only."""
    choice = _read_choice(node, SPEED_SEARCHES, example="race, or {race: {share: 0.1}}")
    if choice.name != "joint" and not has_learning:
        rule = f"{choice.name} needs a learning parameter to search"
        raise node.error(rule, got="none", remedy="write speed_search: joint, or run `autotune speed`")
    return choice


def read_sampler(node: Node) -> Choice:
    """A sampler by name, or ``{name: {options}}``."""
    return _read_choice(node, SAMPLERS, example="tpe, or {tpe: {startup_trials: 10}}")


def read_pruner(node: Node, *, budget: Budget) -> Choice:
    """A pruner by name, or ``{name: {options}}``; options count in the budget's resource, within a whole trial."""
    choice = _read_choice(node, PRUNERS, example="hyperband, or {hyperband: {min_epochs: 1}}")
    for option, value in choice.options.items():
        name, _, resource = option.rpartition("_")
        if name not in {"min", "warmup"} or resource not in _RESOURCES:
            continue
        inner = node.inner(choice.name, None).inner(option, value)
        if resource != budget.resource:
            rule = f"must count in {budget.resource}, as budget.resource says"
            raise inner.error(rule, got=option, remedy=f"write {name}_{budget.resource}")
        if isinstance(value, int) and value > budget.max_resource:
            limit = "epochs" if budget.per_trial is None else "per_trial"
            rule = f"must be at most budget.{limit}={budget.max_resource}"
            raise inner.error(rule, remedy=f"lower it, or raise budget.{limit}")
    if choice.name == "threshold":
        _check_threshold(node, choice)
    return choice


def _read_choice(node: Node, table: Mapping[str, Mapping[str, Limits]], *, example: str) -> Choice:
    if not isinstance(node.value, dict):
        name = node.one_of(tuple(table))
        options: dict[str, Scalar] = {}
    else:
        fields = node.fields(tuple(table), example=example)
        if len(fields) != 1:
            raise node.error("must name one", remedy=f"write {example}")
        name, inner = next(iter(fields.items()))
        options = _read_options(inner, table[name], name=name)
    return Choice(name=name, options=options)


def _read_options(node: Node, known: Mapping[str, Limits], *, name: str) -> dict[str, Scalar]:
    if node.value is not None and not known:
        raise node.error(f"{name} has no options", remedy=f"write {name} alone")
    options: dict[str, Scalar] = {}
    for option, inner in node.fields(tuple(known), example=f"{{{', '.join(known)}}}").items():
        value = inner.scalar()
        check_value(value, known[option], key=inner.key, places=node.places)
        options[option] = value
    return options


def _check_threshold(node: Node, choice: Choice) -> None:
    lower, upper = choice.options.get("lower"), choice.options.get("upper")
    if lower is None and upper is None:
        raise node.error("threshold needs lower, upper or both", remedy="write {threshold: {lower: 0.2}}")
    if isinstance(lower, int | float) and isinstance(upper, int | float) and lower > upper:
        got = f"lower={written(lower)} and upper={written(upper)}"
        raise node.error("lower must be at most upper", got=got, remedy="swap them")
