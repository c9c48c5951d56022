"""A model made ready for its device: memory format and compilation, and what of them is in force."""

import torch
from torch import nn

from autotune.events import Scalar


def prepare_model(model: nn.Module, *, device: torch.device, channels_last: bool, compile_mode: str) -> nn.Module:
    """The same model on the device; compiled in place, so that names in its state stay as they were."""
    model = model.to(device)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if compile_mode != "off":
        model.compile(mode=compile_mode)
    return model


def channels_last_in_force(model: nn.Module) -> bool:
    """Whether convolution weights lie in NHWC order; one input channel or a 1x1 kernel has no order to tell."""
    weights = [p for p in model.parameters() if p.dim() == 4]  # noqa: PLR2004 - out, in, height, width
    return any(not weight.is_contiguous() for weight in weights) and all(
        weight.is_contiguous(memory_format=torch.channels_last) for weight in weights
    )


def compile_in_force(model: nn.Module, *, mode: str) -> Scalar:
    """The mode where calls of the model go through torch.compile, else ``off``."""
    return mode if getattr(model, "_compiled_call_impl", None) is not None else "off"


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
