"""Two specs of one study, and whether Optuna can go on from the one with the other."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from autotune.events import Scalar
from autotune.spec.confirming import CONFIRM_KEYS
from autotune.spec.deadlines import DEADLINE_KEYS
from autotune.spec.limits import is_same
from autotune.spec.model import Choice, Objective, Parameter, StudySpec
from autotune.spec.written import written


@dataclass(frozen=True)
class Change:
    """A key that differs between two specs of a study."""

    key: str
    old: str | None
    """The earlier value as YAML in one line; None where the key was absent."""
    new: str | None
    """The new value as YAML in one line; None where the key is gone."""
    can_continue: bool
    why: str
    """What the change means for the trials that are there."""


@dataclass(frozen=True)
class SpecDiff:
    """All keys that differ between two specs of a study, in the order of a spec."""

    changes: tuple[Change, ...]

    @property
    def can_continue(self) -> bool:
        """Whether the study can go on with the new spec; True where nothing differs."""
        return all(change.can_continue for change in self.changes)


@dataclass(frozen=True)
class Sources:
    """Digests of a task's source (``source_digest``) at the earlier start and now; None where it is not known."""

    old: str | None = None
    new: str | None = None

    @property
    def are_known(self) -> bool:
        """Whether both digests are known, so that they can be compared."""
        return self.old is not None and self.new is not None


def compare_specs(old: StudySpec, new: StudySpec, *, sources: Sources | None = None) -> SpecDiff:
    """What differs between the spec that a study was made with and the one that it is started with now.

    Optuna accepts a range that moved (``check_distribution_compatibility`` asks for the same
    kind, the same ``log`` and the same choices). We refuse more: a change that makes the values of
    earlier trials incomparable (another task, metric, number of epochs, fixed learning parameter).
    Tasks are compared by their sources where both are known, since a task may have been moved.
    """
    return SpecDiff(
        changes=(
            *_task(old.task, new.task, sources=sources or Sources()),
            *_objectives(old.objectives, new.objectives),
            *_plain("budget.trials", old.budget.trials, new.budget.trials),
            *_plain("budget.seconds", old.budget.seconds, new.budget.seconds),
            *_plain(
                "budget.epochs",
                old.budget.epochs,
                new.budget.epochs,
                refusal="trials of other lengths don't compare",
            ),
            *_plain(
                "budget.resource",
                old.budget.resource,
                new.budget.resource,
                refusal="trials of other lengths don't compare",
            ),
            *_plain(
                "budget.per_trial",
                old.budget.per_trial,
                new.budget.per_trial,
                refusal="trials of other lengths don't compare",
            ),
            *_policy("sampler", old.sampler, new.sampler),
            *_policy("pruner", old.pruner, new.pruner),
            *_parameters("learning", old.learning, new.learning),
            *_parameters("speed", old.speed, new.speed),
            *_policy("speed_search", old.speed_search, new.speed_search),
            *_baseline(old.baseline, new.baseline),
            *(
                change
                for key in DEADLINE_KEYS
                for change in _plain(f"deadlines.{key}", getattr(old.deadlines, key), getattr(new.deadlines, key))
            ),
            *_plain("checkpoints.max_bytes", old.checkpoints.max_bytes, new.checkpoints.max_bytes),
            *_plain("seed", old.seed, new.seed),
            *_plain("device", old.device, new.device),
            *_plain("log_model", old.log_model, new.log_model),
            *(
                change
                for key in CONFIRM_KEYS
                for change in _plain(f"confirm.{key}", getattr(old.confirm, key), getattr(new.confirm, key))
            ),
        )
    )


def _task(old: str, new: str, *, sources: Sources) -> Iterator[Change]:
    is_same_code = sources.are_known and sources.old == sources.new
    if old == new:
        if sources.are_known and not is_same_code:
            why = "trials from now on train other code than those so far"
            yield Change("task", old, f"the same, and its code has changed: {why}", can_continue=True, why=why)
    elif _name(old) != _name(new) or (not sources.are_known and _file(old) != _file(new)):
        yield Change("task", old, new, can_continue=False, why="the trials so far trained another task")
    elif sources.are_known and not is_same_code:
        yield Change("task", old, new, can_continue=False, why="the trials so far trained other code")


def _name(task: str) -> str:
    return task.rpartition(":")[2]


def _file(task: str) -> str:
    return Path(task.rpartition(":")[0]).name


def _plain(key: str, old: Scalar, new: Scalar, *, refusal: str | None = None) -> Iterator[Change]:
    if not is_same(old, new):
        why = refusal or "holds from the next trial on"
        yield Change(key, _or_none(old), _or_none(new), can_continue=refusal is None, why=why)


def _or_none(value: Scalar) -> str | None:
    return None if value is None else written(value)


def _objectives(old: tuple[Objective, ...], new: tuple[Objective, ...]) -> Iterator[Change]:
    if old == new:
        return
    shown = [", ".join(objective.text for objective in group) for group in (old, new)]
    why = "the trials so far aimed at something else"
    yield Change("objectives" if len(new) > 1 else "objective", shown[0], shown[1], can_continue=False, why=why)


def _policy(key: str, old: Choice, new: Choice) -> Iterator[Change]:
    if old != new:
        why = "holds from the next trial on"
        yield Change(key, _policy_text(old), _policy_text(new), can_continue=True, why=why)


def _policy_text(choice: Choice) -> str:
    return written({choice.name: choice.options}) if choice.options else choice.name


def _baseline(old: Mapping[str, Scalar], new: Mapping[str, Scalar]) -> Iterator[Change]:
    if old != new:
        why = "trial 0 was the baseline"
        yield Change("baseline", written(old), written(new), can_continue=False, why=why)


def _parameters(
    group: str, old: Mapping[str, Parameter | Scalar], new: Mapping[str, Parameter | Scalar]
) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        key = f"{group}.{name}"
        if name not in new:
            yield _change(key, old[name], None, can_continue=True, why="new trials leave it at its default")
        elif name not in old:
            yield _change(key, None, new[name], can_continue=True, why="the trials so far left it at its default")
        elif old[name] != new[name] or type(old[name]) is not type(new[name]):
            can_continue, why = _judge(old[name], new[name], group=group)
            yield _change(key, old[name], new[name], can_continue=can_continue, why=why)


def _change(key: str, old: Parameter | Scalar, new: Parameter | Scalar, *, can_continue: bool, why: str) -> Change:
    texts = [None if value is None else _parameter_text(value) for value in (old, new)]
    return Change(key, texts[0], texts[1], can_continue=can_continue, why=why)


def _judge(old: Parameter | Scalar, new: Parameter | Scalar, *, group: str) -> tuple[bool, str]:
    if isinstance(old, Parameter) and isinstance(new, Parameter):
        return _judge_searched(old, new)
    if not isinstance(old, Parameter) and not isinstance(new, Parameter) and group == "learning":
        return False, "the trials so far trained with another value"
    if isinstance(new, Parameter):
        return True, "searched from the next trial on"
    return True, "fixed from the next trial on"


def _judge_searched(old: Parameter, new: Parameter) -> tuple[bool, str]:
    if old.type != new.type:
        return False, "Optuna can't change the kind of a parameter"
    if old.choices != new.choices:
        return False, "Optuna can't change the choices of a parameter"
    if old.log != new.log:
        return False, "Optuna can't switch log"
    if (old.low, old.high, old.step) != (new.low, new.high, new.step):
        return True, "the range holds from the next trial on"
    return True, "the condition holds from the next trial on"


def _parameter_text(parameter: Parameter | Scalar) -> str:
    if not isinstance(parameter, Parameter):
        return written(parameter)
    shown = parameter.model_dump(exclude_defaults=True, exclude={"type"} if parameter.choices else set())
    return written(shown)
