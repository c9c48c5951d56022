"""What a study needs of this machine before anything is stored: devices, the space, a task that works."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autotune.coordinator.aims import metric_key, task_metrics
from autotune.coordinator.orders import make_order
from autotune.coordinator.seeds import trial_seed
from autotune.errors import SpecError
from autotune.events import Rehearsal
from autotune.goals import BASELINE_NUMBER, MEASUREMENTS
from autotune.hardware import Machine, describe_machine
from autotune.search.resolve import resolve_space
from autotune.search.space import SearchSpace
from autotune.spec.load import SpecFile
from autotune.spec.names import nearest
from autotune.speed.knobs import with_own
from autotune.speed.knobs.knob import Knob
from autotune.trial.launcher import Launcher
from autotune.trial.leases import DevicePool, make_pool


@dataclass(frozen=True)
class Stage:
    """The machine, ready for trials of one spec."""

    machine: Machine
    """The machine's facts, with only those accelerators that the spec's device stands for."""
    device: str
    """What trials train on: ``cpu`` or ``cuda``."""
    pool: DevicePool
    knobs: Mapping[str, Knob]
    """What may stand under ``speed``: the built-in knobs, and those of the task."""
    space: SearchSpace
    rehearsal: Rehearsal


def set_stage(file: SpecFile, *, launcher: Launcher, jobs: int, folder: Path) -> Stage:
    """Resolve the spec on this machine and take one batch of the baseline through the task.

    Args:
        file: The spec.
        launcher: The launcher of the spec's task.
        jobs: Trials that will run at once.
        folder: A folder for the rehearsal's files, which may vanish afterwards.

    Raises:
        SpecError: The spec does not fit the machine, or names a metric that the task lacks.
        DeviceError: The spec's device is not there.
        TaskError: The task raises, has no data, or a knob of its own that clashes with a built-in name.
    """
    machine = describe_machine(launcher.facts)
    pool = make_pool(file.spec.device, facts=launcher.facts, jobs=jobs, where=file.where("device"))
    knobs = with_own(launcher.knobs, task=file.spec.task)
    space = resolve_space(file, machine=machine, num_cores=pool.num_cores, knobs=knobs)
    lease = pool.acquire()
    assert lease is not None, "a fresh pool has a lease"
    order = make_order(
        file.spec,
        study=file.name,
        number=BASELINE_NUMBER,
        parameters={**space.fixed, **space.baseline},
        seed=trial_seed(file.spec.seed, BASELINE_NUMBER),
        lease=lease,
        folder=folder,
    )
    rehearsal = launcher.rehearse(order)
    pool.release(lease)
    _check_metrics(file, rehearsal)
    return Stage(machine.seen_from(file.spec.device), lease.device.partition(":")[0], pool, knobs, space, rehearsal)


def _check_metrics(file: SpecFile, rehearsal: Rehearsal) -> None:
    known, objectives = rehearsal.metric_names, file.spec.objectives
    for index, objective in enumerate(objectives):
        missing = [metric for metric in task_metrics([objective]) if metric not in known]
        if not known or not missing:  # a function task tells its metrics when it reports
            continue
        rule = f"the task reports {', '.join(known)}, got {missing[0]}"
        near = nearest(missing[0], (*known, *MEASUREMENTS))
        where = file.where(metric_key(objectives, index=index))
        raise SpecError(f"{where}: {rule}; {f'did you mean {near}?' if near else 'name one of them'}")
