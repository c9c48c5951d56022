"""Study specs, and the search spaces that they are on one machine."""

from collections.abc import Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.search.space import LeftOut, SearchSpace, SpaceParameter
from autotune.spec.builtin import find_space, list_spaces
from autotune.spec.load import SpecFile, load_spec
from autotune.spec.model import Budget, Choice, Objective


@dataclass(frozen=True, kw_only=True)
class SpaceEntry:
    """A spec that comes with the package; the fields are the keys of its JSON."""

    name: str
    task: str
    path: str


@dataclass(frozen=True, kw_only=True)
class SpaceSummary:
    """A spec as it is searched on one machine; the fields are the keys of its JSON."""

    name: str
    task: str
    objectives: tuple[Objective, ...]
    budget: Budget
    sampler: Choice
    pruner: Choice
    device: str
    parameters: tuple[SpaceParameter, ...]
    fixed: Mapping[str, Scalar]
    left_out: tuple[LeftOut, ...]
    baseline: Mapping[str, Scalar]


def list_space_summaries() -> tuple[SpaceEntry, ...]:
    """Every spec that comes with the package, by name."""
    return tuple(
        SpaceEntry(name=name, task=load_spec(name).spec.task, path=str(find_space(name))) for name in list_spaces()
    )


def summarise_space(file: SpecFile, *, space: SearchSpace) -> SpaceSummary:
    """The spec with its space."""
    spec = file.spec
    return SpaceSummary(
        name=file.name,
        task=spec.task,
        objectives=spec.objectives,
        budget=spec.budget,
        sampler=spec.sampler,
        pruner=spec.pruner,
        device=spec.device,
        parameters=space.parameters,
        fixed=dict(space.fixed),
        left_out=space.left_out,
        baseline=dict(space.baseline),
    )
