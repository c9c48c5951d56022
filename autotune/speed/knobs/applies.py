"""Where a knob applies: reasons that several of them share."""

from autotune.hardware import Machine
from autotune.speed.knobs.knob import Reason


def needs_cuda(machine: Machine) -> Reason:
    """Why a knob that acts on a CUDA device alone is left out here; None where it is not."""
    return None if machine.torch.accelerators else "it acts on a CUDA device alone, and trials run on the CPU here"


def needs_cudnn(machine: Machine) -> Reason:
    """Why a flag of cuDNN's is left out here; None where it is not."""
    if reason := needs_cuda(machine):
        return reason
    return None if machine.torch.cudnn_version else "this torch has no cuDNN"


def needs_tf32(machine: Machine) -> Reason:
    """Why a knob that lets float32 run in TF32 is left out here; None where it is not."""
    if reason := needs_cuda(machine):
        return reason
    return None if has_ampere(machine) else "TF32 needs a CUDA device of compute capability 8.0"


def has_ampere(machine: Machine) -> bool:
    """Whether every CUDA device has compute capability 8.0, from which on there is TF32 and bf16."""
    return all(accelerator.capability >= (8, 0) for accelerator in machine.torch.accelerators)
