"""What a trial's process is sent, from the spec and the lease."""

from collections.abc import Mapping
from pathlib import Path

from autotune.events import Scalar, TrialOrder
from autotune.hardware import TorchFacts
from autotune.spec.model import StudySpec
from autotune.trial.leases import Lease, resolve_device


def make_order(
    spec: StudySpec,
    *,
    study: str,
    number: int,
    parameters: Mapping[str, Scalar],
    seed: int,
    lease: Lease,
    folder: Path,
) -> TrialOrder:
    """The order of one trial of the study, to be trained on that lease with its files in ``folder``."""
    return TrialOrder(
        study=study,
        number=number,
        task=spec.task,
        parameters=dict(parameters),
        objective_metrics=tuple(objective.metric for objective in spec.objectives),
        epochs=spec.budget.epochs,
        seed=seed,
        device=lease.device,
        visible_devices=lease.visible_devices,
        cores=lease.cores,
        folder=str(folder),
    )


def devices_for(spec: StudySpec, *, facts: TorchFacts) -> list[str]:
    """The devices that a study may use: all of the kind, unless the spec names one.

    Raises DeviceError for a device that is not there.
    """
    device = resolve_device(spec.device, facts=facts)
    if device.startswith("cuda") and spec.device in {"auto", "cuda"}:
        return [f"cuda:{accelerator.index}" for accelerator in facts.accelerators]
    return [device]
