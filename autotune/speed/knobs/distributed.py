"""Knobs of a training on several devices at once, which no trial is yet."""

from autotune.hardware import Machine
from autotune.speed.knobs.knob import Knob, Reason

_DDP = "https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html"


def _needs_several_devices(machine: Machine) -> Reason:
    del machine
    return "it acts between the devices of one training, and a trial trains on one"


DDP_KNOBS = (
    Knob(
        name="ddp_bucket_cap_mb",
        summary="size of the buckets in which gradients travel between devices",
        numerics="reordered",
        needs="new graph",
        simplest=25,
        docs=_DDP,
        moves=("compute",),
        raced=(10, 25, 50, 100),
        low=1,
        high=10_000,
        applies=_needs_several_devices,
    ),
    Knob(
        name="ddp_gradient_as_bucket_view",
        summary="keep gradients in the buckets that travel, without a copy",
        numerics="exact",
        needs="new graph",
        simplest=False,
        docs=_DDP,
        moves=("compute",),
        choices=(False, True),
        applies=_needs_several_devices,
    ),
    Knob(
        name="ddp_static_graph",
        summary="promise that every step uses the same parameters in the same order",
        numerics="exact",
        needs="new graph",
        simplest=False,
        docs=_DDP,
        moves=("compute",),
        choices=(False, True),
        applies=_needs_several_devices,
    ),
)
"""In the order in which a person reads them."""
