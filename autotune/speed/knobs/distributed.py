"""Knobs of a training on several devices at once: declared, and out as long as a trial has one device."""

from autotune.hardware import Machine
from autotune.speed.knobs.knob import Knob, Reason

_DDP = "https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html"


def _needs_several_devices(machine: Machine) -> Reason:
    """Why it does not apply, which is never None: a trial is lent one device, even where a machine has several."""
    what = "it acts between the devices of one training"
    num_devices = len(machine.torch.accelerators)
    if num_devices == 0:
        return f"{what}, and trials run on the CPU here"
    if num_devices == 1:
        return f"{what}, and trials have one device here"
    return f"{what}; there are {num_devices} devices here, of which a trial has one: no trial trains on several yet"


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
"""Knobs of distributed training, in the order in which a person reads them."""
