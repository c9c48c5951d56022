"""Knobs of a trial's process as a whole."""

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.speed.knobs.applies import needs_cuda
from autotune.speed.knobs.knob import Knob, Reason
from autotune.speed.knobs.loader import MOST_WORKERS

_TUNING_GUIDE = "https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html"


def _needs_siblings(machine: Machine) -> Reason:
    if machine.num_physical_cores is None:
        return "the system does not tell which cores share a physical one"
    if machine.num_physical_cores == machine.num_cores:
        return "every core here is a physical one"
    return None


def _allocator_applies(allocator: Scalar, machine: Machine) -> Reason:
    if allocator == "default":
        return None
    needed = "glibc" if allocator == "retain" else str(allocator)
    return None if needed in machine.allocators else f"there is no {needed} here"


def _needs_linux_and_cuda(machine: Machine) -> Reason:
    if reason := needs_cuda(machine):
        return reason
    return None if machine.system.startswith("Linux") else "a trial's process is started anew on Linux alone"


PROCESS_KNOBS = (
    Knob(
        name="torch_threads",
        summary="threads within one operation on the CPU",
        numerics="reordered",
        needs="live",
        simplest=1,
        docs="https://docs.pytorch.org/docs/stable/generated/torch.set_num_threads.html",
        is_of_host=True,
        raced=(1, 2, 4, 8, 16, 32),
        low=1,
        high=MOST_WORKERS,
        has_auto=True,
    ),
    Knob(
        name="cpu_affinity",
        summary="run on all cores of the trial, or on one logical core of each physical one",
        numerics="reordered",
        needs="relaunch",
        simplest="all",
        docs=_TUNING_GUIDE,
        is_of_host=True,
        choices=("all", "physical"),
        applies=_needs_siblings,
    ),
    Knob(
        name="allocator",
        summary="the host's memory: glibc as it is, glibc that keeps what is freed, jemalloc or tcmalloc",
        numerics="exact",
        needs="relaunch",
        simplest="default",
        docs=_TUNING_GUIDE,
        is_of_host=True,
        choices=("default", "retain", "jemalloc", "tcmalloc"),
        choice_applies=_allocator_applies,
    ),
    Knob(
        name="cuda_allocator",
        summary="the device's memory: torch's own blocks, blocks that can grow, or CUDA's own pool",
        numerics="exact",
        needs="relaunch",
        simplest="native",
        docs="https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-alloc-conf",
        moves=("launch",),
        choices=("native", "expandable_segments", "cudaMallocAsync"),
        applies=_needs_linux_and_cuda,
    ),
)
"""Knobs of the process, in the order in which a person reads them."""
