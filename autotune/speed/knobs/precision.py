"""Knobs that trade digits for speed."""

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.speed.knobs.applies import has_ampere, needs_tf32
from autotune.speed.knobs.knob import Knob, Reason

_NUMERICS = "https://docs.pytorch.org/docs/stable/notes/cuda.html#tensorfloat-32-tf32-on-ampere-and-later-devices"


def _precision_applies(precision: Scalar, machine: Machine) -> Reason:
    if machine.torch.accelerators:
        if precision == "bf16" and not has_ampere(machine):
            return "bf16 needs a CUDA device of compute capability 8.0"
        return None
    if precision == "bf16" and not machine.torch.has_bf16_cpu:
        return "this CPU has no bf16 instructions (AVX512_BF16 or AMX)"
    if precision == "fp16" and not machine.torch.has_fp16_cpu:
        return "this CPU has no fp16 instructions (AVX512_FP16 or AMX_FP16)"
    return None


def _needs_short_floats(machine: Machine) -> Reason:
    if machine.torch.accelerators:
        return needs_tf32(machine)
    # oneDNN reads the setting everywhere and heeds it on AMX alone: on an EPYC with AVX512_BF16 products were
    # those of float32, to the last bits.
    return None if machine.torch.has_amx_bf16 else "a CPU without AMX runs float32 as float32, whatever is set"


def _short_float_applies(precision: Scalar, machine: Machine) -> Reason:
    if precision == "bf16" and machine.torch.accelerators:
        return "a CUDA device runs float32 in TF32 or in full"
    return None


def _matmul_precision_applies(precision: Scalar, machine: Machine) -> Reason:
    if precision == "tf32" and not machine.torch.accelerators:
        return "no CPU has TF32"
    return _short_float_applies(precision, machine)


PRECISION_KNOBS = (
    Knob(
        name="float32_matmul_precision",
        summary="let float32 matrix products run in TF32 or bf16",
        numerics="reduced precision",
        needs="live",
        simplest="highest",
        docs="https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html",
        moves=("compute",),
        is_raced=False,  # fp32_precision_matmul is
        excludes="fp32_precision_matmul",
        choices=("highest", "high", "medium"),
        applies=needs_tf32,
    ),
    Knob(
        name="fp32_precision_matmul",
        summary="what float32 matrix products run in, on the trial's device",
        numerics="reduced precision",
        needs="new graph",
        simplest="ieee",
        docs=_NUMERICS,
        moves=("compute",),
        choices=("ieee", "tf32", "bf16"),
        applies=_needs_short_floats,
        choice_applies=_matmul_precision_applies,
        excludes="float32_matmul_precision",
    ),
    Knob(
        name="fp32_precision_conv",
        summary="what float32 convolutions run in; torch's own default is tf32, which a CPU runs as ieee",
        numerics="reduced precision",
        needs="new graph",
        simplest="tf32",
        full="ieee",
        docs=_NUMERICS,
        moves=("compute",),
        choices=("ieee", "tf32", "bf16"),
        applies=_needs_short_floats,
        choice_applies=_short_float_applies,
    ),
    Knob(
        name="fp32_precision_rnn",
        summary="what float32 recurrent layers run in; torch's own default is tf32, which a CPU runs as ieee",
        numerics="reduced precision",
        needs="new graph",
        simplest="tf32",
        full="ieee",
        docs=_NUMERICS,
        moves=("compute",),
        choices=("ieee", "tf32", "bf16"),
        applies=_needs_short_floats,
        choice_applies=_short_float_applies,
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
)
"""Knobs of precision, in the order in which a person reads them."""
