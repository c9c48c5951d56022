"""What a trial's process is sent, from the spec and the lease."""

from collections.abc import Mapping
from pathlib import Path

from autotune.coordinator.aims import targets_of, task_metrics
from autotune.events import Scalar, TrialOrder
from autotune.spec.model import StudySpec
from autotune.trial.leases import Lease


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
        objective_metrics=task_metrics(spec.objectives),
        targets=targets_of(spec.objectives),
        epochs=spec.budget.epochs,
        resource=spec.budget.resource,
        per_trial=spec.budget.per_trial,
        seed=seed,
        device=lease.device,
        visible_devices=lease.visible_devices,
        cores=lease.cores,
        folder=str(folder),
        max_checkpoint_bytes=spec.checkpoints.max_bytes,
    )
