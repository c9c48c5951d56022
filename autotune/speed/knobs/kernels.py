"""Knobs of the kernels that a device runs: which algorithm, which memory layout."""

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.speed.knobs.applies import has_ampere, needs_cudnn
from autotune.speed.knobs.knob import Knob, Reason

_CUDNN = "https://docs.pytorch.org/docs/stable/backends.html#torch-backends-cudnn"
_MEMORY_FORMAT = "https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html"


def _sdpa_applies(backend: Scalar, machine: Machine) -> Reason:
    if not machine.torch.accelerators:
        return None if backend in {"auto", "math", "flash"} else f"{backend} attention needs a CUDA device"
    if backend in {"flash", "cudnn"} and not has_ampere(machine):
        return f"{backend} attention needs a CUDA device of compute capability 8.0"
    if backend == "cudnn" and not machine.torch.cudnn_version:
        return "this torch has no cuDNN"
    return None


KERNEL_KNOBS = (
    Knob(
        name="cudnn_benchmark",
        summary="time cuDNN's convolution algorithms for each new shape and keep the fastest",
        numerics="reordered",
        needs="live",
        simplest=False,
        docs=_CUDNN,
        moves=("compute",),
        searches_at_start=True,
        choices=(False, True),
        applies=needs_cudnn,
    ),
    Knob(
        name="cudnn_benchmark_limit",
        summary="algorithms that cuDNN's benchmark times for a shape; 0 times all",
        numerics="reordered",
        needs="live",
        simplest=10,
        docs=_CUDNN,
        moves=("compute",),
        raced=(0, 10),
        low=0,
        high=1000,
        applies=needs_cudnn,
        needs_positive="cudnn_benchmark",
    ),
    Knob(
        name="cudnn_deterministic",
        summary="use only the convolution algorithms that give the same bits every time",
        numerics="reordered",
        needs="live",
        simplest=False,
        docs=_CUDNN,
        moves=("compute",),
        is_raced=False,
        choices=(False, True),
        applies=needs_cudnn,
    ),
    Knob(
        name="channels_last",
        summary="keep images and convolution weights in NHWC order",
        numerics="reordered",
        needs="new graph",
        simplest=False,
        docs=_MEMORY_FORMAT,
        moves=("compute",),
        choices=(False, True),
    ),
    Knob(
        name="channels_last_3d",
        summary="keep volumes, videos and their convolution weights in NDHWC order",
        numerics="reordered",
        needs="new graph",
        simplest=False,
        docs=_MEMORY_FORMAT,
        moves=("compute",),
        choices=(False, True),
    ),
    Knob(
        name="sdpa_backend",
        summary="the one implementation of scaled dot-product attention that may run; auto leaves it to torch",
        numerics="reordered",
        needs="new graph",
        simplest="auto",
        docs="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html",
        moves=("launch", "compute"),
        choices=("auto", "math", "flash", "mem_efficient", "cudnn"),
        choice_applies=_sdpa_applies,
    ),
)
"""Knobs of kernels, in the order in which a person reads them."""
