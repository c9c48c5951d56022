"""Study specs, and their search spaces on one machine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from autotune.coordinator.opening.stage import set_stage
from autotune.events import Rehearsal, Scalar
from autotune.search.space import LeftOut, SearchSpace, SpaceParameter
from autotune.spec.builtin import find_space, list_spaces
from autotune.spec.load import SpecFile, load_spec
from autotune.spec.model import Budget, Choice, Objective
from autotune.trial.launcher import Launcher
from autotune.trial.leases import list_devices, resolve_device


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
    speed_search: Choice
    devices: tuple[str, ...]
    parameters: tuple[SpaceParameter, ...]
    fixed: Mapping[str, Scalar]
    left_out: tuple[LeftOut, ...]
    baseline: Mapping[str, Scalar]
    rehearsal: Rehearsal
    """What the task turned out to have."""


def list_space_summaries() -> tuple[SpaceEntry, ...]:
    """Every spec that comes with the package, by name."""
    return tuple(
        SpaceEntry(name=name, task=load_spec(name).spec.task, path=str(find_space(name))) for name in list_spaces()
    )


def check_space(file: SpecFile, *, jobs: int, tell: Callable[[str], None] = lambda _: None) -> SpaceSummary:
    """The spec as it is searched on this machine, after its task took one batch.

    Args:
        file: The spec.
        jobs: Trials that would run at once.
        tell: Told a line now and then where the task's import and set-up take long.

    Raises:
        SpecError: The spec does not fit the machine, or names a metric that the task lacks.
        DeviceError: The spec's device is not there.
        TaskError: The task can't be imported, raises, or has no data.
    """
    with (
        Launcher.start(file.spec.task, secrets=file.secrets, tell=tell) as launcher,
        TemporaryDirectory() as folder,
    ):
        stage = set_stage(file, launcher=launcher, jobs=jobs, folder=Path(folder))
        devices = list_devices(resolve_device(file.spec.device, facts=launcher.facts), facts=launcher.facts)
    return summarise_space(file, space=stage.space, devices=devices, rehearsal=stage.rehearsal)


def summarise_space(
    file: SpecFile, *, space: SearchSpace, devices: tuple[str, ...], rehearsal: Rehearsal
) -> SpaceSummary:
    """The spec with its space, and with what its task turned out to have."""
    spec = file.spec
    return SpaceSummary(
        name=file.name,
        task=spec.task,
        objectives=spec.objectives,
        budget=spec.budget,
        sampler=spec.sampler,
        pruner=spec.pruner,
        speed_search=spec.speed_search,
        devices=devices,
        parameters=space.parameters,
        fixed=dict(space.fixed),
        left_out=space.left_out,
        baseline=dict(space.baseline),
        rehearsal=rehearsal,
    )
