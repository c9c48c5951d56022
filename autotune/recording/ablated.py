"""A study's ablation, ``NAME.ablation``: which changes are set back, and what its rows say of each.

The parameters of a training tell which change it measures, as in a confirmation; nothing else records that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autotune.events import Outcome, Scalar
from autotune.proof.ablation import Ablation, weigh
from autotune.proof.rounds import split_rounds
from autotune.recording.confirmed import key_of
from autotune.recording.ranking import rank_configurations
from autotune.recording.records import Records
from autotune.recording.rows import StudyRow, TrialRow
from autotune.spec.model import Parameter, StudySpec
from autotune.spec.optimizers import OPTIMIZER_ARGUMENTS

ABLATION_SUFFIX = ".ablation"
MOST_CHANGES = 6
"""The most changes that are measured one by one; any others are set back together with the last."""
_SCHEDULE_PREFIX = "schedule_"


@dataclass(frozen=True)
class Change:
    """Parameters that are set back together, and the winner's parameters without them."""

    names: tuple[str, ...]
    parameters: Mapping[str, Scalar]


def ablation_name(study: str) -> str:
    """The name of the study that holds a study's ablation."""
    return f"{study}{ABLATION_SUFFIX}"


def find_ablation(records: Records, *, study: StudyRow) -> StudyRow | None:
    """The study's ablation, if there is one."""
    return records.find_study(ablation_name(study.name))


def read_ablation(records: Records, *, study: StudyRow) -> Ablation | None:
    """What the rows say of the winner's changes now; None before a whole round on this winner has ended."""
    ablation = find_ablation(records, study=study)
    if ablation is None:
        return None
    spec, rows = study.spec, records.trials(study)
    winner, baseline = sides_of(rows, spec=spec)
    if winner is None or baseline is None:
        return None
    changes = changes_of(winner.parameters, baseline.parameters, spec=spec)
    sides = {key_of(each.parameters): each.names for each in changes}
    whole = key_of(baseline.parameters), key_of(winner.parameters)
    rounds = _whole_rounds(records.trials(ablation), keys={*whole, *sides})
    if not rounds:
        return None
    values = {key: [_value(each[key]) for each in rounds] for key in (*whole, *sides)}
    return weigh(
        spec.objectives[0].metric,
        winner=winner.number,
        is_more_better=spec.objectives[0].is_more_better,
        values=values[whole[1]],
        baseline=values[whole[0]],
        without={names: values[key] for key, names in sides.items()},
    )


def sides_of(rows: Sequence[TrialRow], *, spec: StudySpec) -> tuple[TrialRow | None, TrialRow | None]:
    """The best trial and the baseline; None for what is not complete, and for a best trial that is the baseline."""
    baseline = next((row for row in rows if row.is_baseline and row.outcome is Outcome.COMPLETE), None)
    ranked = rank_configurations(rows, objective=spec.objectives[0])
    winner = ranked[0] if ranked else None
    if winner is not None and baseline is not None and winner.parameters == baseline.parameters:
        winner = None
    return winner, baseline


def changes_of(winner: Mapping[str, Scalar], baseline: Mapping[str, Scalar], *, spec: StudySpec) -> tuple[Change, ...]:
    """The differences between winner and baseline, as changes that can each be set back alone.

    A parameter that only one of the two has is set back with the parameter that activates it: an optimizer's
    argument with the optimizer. Speed parameters are one change: they depend on each other, and a
    race has measured each. If there are more than ``MOST_CHANGES``, the last ones become one change.
    """
    differing = [name for name in {**winner, **baseline} if winner.get(name, ...) != baseline.get(name, ...)]
    groups: dict[str, list[str]] = {}
    for name in differing:
        groups.setdefault(_head_of(name, winner, baseline, differing=differing, spec=spec), []).append(name)
    merged = list(groups.values())
    if len(merged) > MOST_CHANGES:
        merged = [*merged[: MOST_CHANGES - 1], [name for group in merged[MOST_CHANGES - 1 :] for name in group]]
    return tuple(Change(tuple(group), _set_back(winner, baseline, group)) for group in merged)


def _head_of(
    name: str,
    winner: Mapping[str, Scalar],
    baseline: Mapping[str, Scalar],
    *,
    differing: Sequence[str],
    spec: StudySpec,
) -> str:
    """The parameter that ``name`` is set back with; ``name`` itself where it is set back alone."""
    seen = {name}
    while not (name in winner and name in baseline):
        parents = [parent for parent in _parents(name, spec) if parent in differing and parent not in seen]
        if not parents:
            break
        name = parents[0]
        seen.add(name)
    # All speed parameters share this name, which no parameter can have.
    return name if name in spec.learning else "speed parameters"


def _parents(name: str, spec: StudySpec) -> Sequence[str]:
    """Parameters that may activate this one, by the spec and by the names of arguments."""
    declared = spec.learning.get(name)
    told = list(declared.when or ()) if isinstance(declared, Parameter) else []
    if name in OPTIMIZER_ARGUMENTS:
        told.append("optimizer")
    if name.startswith(_SCHEDULE_PREFIX):
        told.append("schedule")
    return told


def _set_back(
    winner: Mapping[str, Scalar], baseline: Mapping[str, Scalar], names: Sequence[str]
) -> Mapping[str, Scalar]:
    """The winner's parameters with these as the baseline has them, which may be not at all."""
    kept = {name: value for name, value in winner.items() if name not in names}
    return kept | {name: baseline[name] for name in names if name in baseline}


def _whole_rounds(rows: Sequence[TrialRow], *, keys: set[str]) -> list[dict[str, TrialRow]]:
    """Rounds in which each of these configurations has ended, by the key of its parameters."""
    order, left = [key_of(row.parameters) for row in rows], iter(rows)
    rounds = [dict(zip(each, left, strict=False)) for each in split_rounds(order)]
    return [each for each in rounds if keys <= each.keys() and all(each[key].is_over for key in keys)]


def _value(row: TrialRow) -> float | None:
    """The trial's first objective; None where it is not complete."""
    return row.values[0] if row.values and row.outcome is Outcome.COMPLETE else None
