"""Every speed parameter, declared once: what it may be, where it applies, how it is judged.

``training/`` applies the knobs, ``search/resolve.py`` proposes them, and a race judges them by
their class of numerics.
"""

from collections.abc import Mapping

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.speed.knob import Knob, Reason


def _needs_cuda(machine: Machine) -> Reason:
    return None if machine.torch.accelerators else "it acts on a CUDA device alone, and trials run on the CPU here"


def _needs_cudnn(machine: Machine) -> Reason:
    if reason := _needs_cuda(machine):
        return reason
    return None if machine.torch.cudnn_version else "this torch has no cuDNN"


def _needs_tf32(machine: Machine) -> Reason:
    if reason := _needs_cuda(machine):
        return reason
    return None if _has_ampere(machine) else "TF32 needs a CUDA device of compute capability 8.0"


def _needs_compiler(machine: Machine) -> Reason:
    return (
        None if machine.torch.has_compiler else "torch.compile finds no compiler here (C++ for a CPU, Triton for CUDA)"
    )


def _has_ampere(machine: Machine) -> bool:
    return all(accelerator.capability >= (8, 0) for accelerator in machine.torch.accelerators)


def _precision_applies(precision: Scalar, machine: Machine) -> Reason:
    if machine.torch.accelerators:
        if precision == "bf16" and not _has_ampere(machine):
            return "bf16 needs a CUDA device of compute capability 8.0"
        return None
    if precision == "bf16" and not machine.torch.has_bf16_cpu:
        return "this CPU has no bf16 instructions (AVX512_BF16 or AMX)"
    if precision == "fp16" and not machine.torch.has_fp16_cpu:
        return "this CPU has no fp16 instructions (AVX512_FP16 or AMX_FP16)"
    return None


def _compile_mode_applies(mode: Scalar, machine: Machine) -> Reason:
    if mode == "reduce-overhead" and not machine.torch.accelerators:
        return "it works by CUDA graphs, and trials run on the CPU here"
    if mode not in {"off", *machine.torch.compile_modes}:
        return f"this torch.compile has no mode {mode}"
    return None


_LOADER = "https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader"
_CUDNN = "https://docs.pytorch.org/docs/stable/backends.html#torch-backends-cudnn"

_MOST_WORKERS = 512
"""Processes, threads or batches held ready: ten times as many would start, and take the machine down."""

_TABLE = (
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
        high=_MOST_WORKERS,
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
        high=_MOST_WORKERS,
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
        name="pin_memory",
        summary="batches in page-locked memory, so that copies to the device overlap with work",
        numerics="exact",
        needs="new loader",
        simplest=False,
        docs="https://docs.pytorch.org/docs/stable/data.html#memory-pinning",
        moves=("input",),
        choices=(False, True),
        applies=_needs_cuda,
    ),
    Knob(
        name="cudnn_benchmark",
        summary="time cuDNN's convolution algorithms for each new shape and keep the fastest",
        numerics="reordered",
        needs="live",
        simplest=False,
        docs=_CUDNN,
        moves=("compute",),
        choices=(False, True),
        applies=_needs_cudnn,
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
        applies=_needs_cudnn,
    ),
    Knob(
        name="float32_matmul_precision",
        summary="let float32 matrix products run in TF32 or bf16",
        numerics="reduced precision",
        needs="live",
        simplest="highest",
        docs="https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html",
        moves=("compute",),
        choices=("highest", "high", "medium"),
        applies=_needs_tf32,
    ),
    Knob(
        name="precision",
        summary="autocast to bf16, or to fp16 with a GradScaler",
        numerics="reduced precision",
        needs="new graph",
        simplest="fp32",
        docs="https://docs.pytorch.org/docs/stable/amp.html",
        moves=("compute",),
        choices=("fp32", "bf16", "fp16"),
        choice_applies=_precision_applies,
    ),
    Knob(
        name="channels_last",
        summary="keep images and convolution weights in NHWC order",
        numerics="reordered",
        needs="new graph",
        simplest=False,
        docs="https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html",
        moves=("compute",),
        choices=(False, True),
    ),
    Knob(
        name="torch_threads",
        summary="threads within one operation on the CPU",
        numerics="reordered",
        needs="live",
        simplest=1,
        docs="https://docs.pytorch.org/docs/stable/generated/torch.set_num_threads.html",
        moves=("input", "launch", "compute"),
        raced=(1, 2, 4, 8, 16, 32),
        low=1,
        high=_MOST_WORKERS,
        has_auto=True,
    ),
    Knob(
        name="optimizer_impl",
        summary="step parameter by parameter, over lists of tensors, or in one kernel",
        numerics="reordered",
        needs="live",
        simplest="for_loop",
        docs="https://docs.pytorch.org/docs/stable/optim.html#algorithms",
        moves=("launch", "compute"),
        choices=("for_loop", "foreach", "fused"),
    ),
    Knob(
        name="compile",
        summary="torch.compile the model, in one of its modes",
        numerics="reordered",
        needs="new graph",
        simplest="off",
        docs="https://docs.pytorch.org/docs/stable/generated/torch.compile.html",
        moves=("launch", "compute"),
        choices=("off", "default", "reduce-overhead", "max-autotune"),
        applies=_needs_compiler,
        choice_applies=_compile_mode_applies,
    ),
    Knob(
        name="accumulate",
        summary=(
            "micro-batches that a batch is cut into, their gradients added up; must divide batch_size. "
            "With BatchNorm it changes the statistics, and then it is a learning parameter"
        ),
        numerics="reordered",
        needs="live",
        simplest=1,
        docs="https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation",
        moves=("compute",),
        is_raced=False,
        low=1,
    ),
)

KNOBS: Mapping[str, Knob] = {knob.name: knob for knob in _TABLE}
"""By name, in the order in which a person reads them."""
