"""Knobs of the way from the dataset to the device."""

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.speed.knobs.applies import needs_cuda
from autotune.speed.knobs.knob import Companion, Knob, Reason

MOST_WORKERS = 512
"""Most processes, threads, or batches that are held ready: ten times as many would take the machine down."""

_LOADER = "https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader"


def _cache_applies(place: Scalar, machine: Machine) -> Reason:
    if place == "device" and not machine.torch.accelerators:
        return "trials run on the CPU here, whose memory is the device's"
    return None


def _start_method_applies(method: Scalar, machine: Machine) -> Reason:
    if method == "forkserver" and machine.system.startswith("Windows"):
        return "Windows has spawn alone"
    return None


LOADER_KNOBS = (
    Knob(
        name="num_workers",
        summary="processes that load data beside the training process; 0 loads in it",
        numerics="reordered",
        needs="new loader",
        simplest=0,
        docs=_LOADER,
        moves=("input",),
        raced=(0, 1, 2, 4, 8, 16, 32),
        low=0,
        high=MOST_WORKERS,
        has_auto=True,
    ),
    Knob(
        name="prefetch_factor",
        summary="batches that each worker holds ready",
        numerics="exact",
        needs="new loader",
        simplest=2,
        docs=_LOADER,
        moves=("input",),
        raced=(2, 4, 8),
        low=1,
        high=MOST_WORKERS,
        needs_positive="num_workers",
    ),
    Knob(
        name="persistent_workers",
        summary="keep the workers from one epoch to the next",
        numerics="reordered",
        needs="new loader",
        simplest=False,
        docs=_LOADER,
        moves=("input",),
        choices=(False, True),
        needs_positive="num_workers",
    ),
    Knob(
        name="in_order",
        summary="take batches in their order; false takes whichever is ready, and a resume starts its epoch again",
        numerics="reordered",
        needs="new loader",
        simplest=True,
        docs=_LOADER,
        moves=("input",),
        choices=(True, False),
        needs_positive="num_workers",
    ),
    Knob(
        name="worker_start_method",
        summary="how workers start: as a copy of the trial, from a small server, or as new interpreters",
        numerics="exact",
        needs="new loader",
        simplest="fork",
        docs="https://docs.pytorch.org/docs/stable/notes/multiprocessing.html",
        moves=("input",),
        searches_at_start=True,
        choices=("fork", "forkserver", "spawn"),
        choice_applies=_start_method_applies,
        needs_positive="num_workers",
        is_raced=False,
    ),
    Knob(
        name="pin_memory",
        summary="batches in page-locked memory, so that copies to the device overlap with work",
        numerics="exact",
        needs="new loader",
        simplest=False,
        docs="https://docs.pytorch.org/docs/stable/data.html#memory-pinning",
        moves=("input",),
        choices=(False, True),
        applies=needs_cuda,
    ),
    Knob(
        name="device_prefetch",
        summary="copy the next batch to the device, on a stream of its own, while this one trains",
        numerics="exact",
        needs="new loader",
        simplest=False,
        docs="https://docs.pytorch.org/docs/stable/notes/cuda.html#use-pinned-memory-buffers",
        moves=("input",),
        choices=(False, True),
        applies=needs_cuda,
        # From memory that can be paged out, a copy keeps the host until it is over.
        companions=(Companion(choice=True, knob="pin_memory", values=(True,)),),
    ),
    Knob(
        name="cache",
        summary="fetch every sample once, and take batches from memory or from the device; not with augmentation",
        numerics="exact",
        needs="new loader",
        simplest="off",
        docs="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
        moves=("input",),
        starts_with_a_pass=True,
        choices=("off", "memory", "device"),
        choice_applies=_cache_applies,
        # Workers would each hold a copy, and send what is there already.
        companions=tuple(Companion(choice=place, knob="num_workers", values=(0,)) for place in ("memory", "device")),
    ),
    Knob(
        name="validation_batch_size",
        summary="samples that are evaluated at once; auto: four times batch_size on a CUDA device, batch_size on a CPU",
        numerics="reordered",
        needs="new loader",
        simplest="auto",
        docs="https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad_mode.inference_mode.html",
        moves=(),
        is_raced=False,
        low=1,
        words=("auto",),
    ),
)
"""Knobs of the loader, in the order in which a person reads them."""
