"""Knobs of the step: how gradients and the optimizer are computed, and what is compiled."""

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.speed.knobs.applies import needs_cuda
from autotune.speed.knobs.knob import Companion, Knob, Reason


def _needs_compiler(machine: Machine) -> Reason:
    return (
        None if machine.torch.has_compiler else "torch.compile finds no compiler here (C++ for a CPU, Triton for CUDA)"
    )


def _compile_mode_applies(mode: Scalar, machine: Machine) -> Reason:
    if mode == "reduce-overhead" and not machine.torch.accelerators:
        return "it works by CUDA graphs, and trials run on the CPU here"
    if mode not in {"off", *machine.torch.compile_modes}:
        return f"this torch.compile has no mode {mode}"
    return None


STEP_KNOBS = (
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
        searches_at_start=True,
        choices=("off", "default", "reduce-overhead", "max-autotune"),
        applies=_needs_compiler,
        choice_applies=_compile_mode_applies,
    ),
    Knob(
        name="cuda_graph",
        summary="record the whole training step, optimizer included, as one CUDA graph and replay it",
        numerics="reordered",
        needs="new graph",
        simplest=False,
        docs="https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture",
        moves=("launch",),
        choices=(False, True),
        applies=needs_cuda,
        # reduce-overhead and max-autotune record graphs of their own; fp16's scaler asks the device at each step.
        companions=(
            Companion(choice=True, knob="compile", values=("default", "off")),
            Companion(choice=True, knob="precision", values=("bf16", "fp32")),
        ),
    ),
    Knob(
        name="accumulate",
        summary=(
            "micro-batches that a batch is cut into, their gradients added up; must divide batch_size; "
            "auto: as few as memory allows, found by running out of it. "
            "With BatchNorm it changes the statistics, and then it is a learning parameter"
        ),
        numerics="reordered",
        needs="live",
        simplest=1,
        docs="https://docs.pytorch.org/docs/stable/notes/amp_examples.html#gradient-accumulation",
        moves=("compute",),
        is_raced=False,
        low=1,
        words=("auto",),
    ),
)
"""Knobs of a step, in the order in which a person reads them."""
