"""A model made ready for its device: memory format and compilation, and what of them is in force."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import convert_conv2d_weight_memory_format, convert_conv3d_weight_memory_format

from autotune.events import Scalar


def prepare_model(
    model: nn.Module,
    *,
    device: torch.device,
    compile_mode: str = "off",
    channels_last: bool = False,
    channels_last_3d: bool = False,
) -> nn.Module:
    """Bring the model to the device, and compile it in place, so that the names in its state stay as they were."""
    model = model.to(device)
    if channels_last:
        # Not Module.to, which refuses a model with parameters of another rank, of four or five dimensions.
        model = convert_conv2d_weight_memory_format(model, torch.channels_last)
    if channels_last_3d:
        model = convert_conv3d_weight_memory_format(model, torch.channels_last_3d)
    if compile_mode != "off":
        _compile(model, mode=compile_mode)
    return model


def _compile(model: nn.Module, *, mode: str) -> None:
    """Compile calls of the model, containers such as nn.Sequential included."""
    import torch._dynamo.config as dynamo_config

    # Dynamo skips frames of torch's own modules: an nn.Sequential would silently stay as it is without a frame
    # around it, which torch.compile(model) makes by itself and Module.compile does not (torch 2.13).
    with dynamo_config.patch(wrap_top_frame=True):
        model.compile(mode=mode)


def model_knobs_in_force(model: nn.Module, *, compile_mode: str) -> dict[str, Scalar]:
    """The model's knobs, read from the memory format of its weights and from the way in which it is called.

    Weights of one input channel or of a 1x1 kernel show no memory format. ``compile`` is the mode where calls of
    the model go through torch.compile, else ``off``.
    """
    is_compiled = getattr(model, "_compiled_call_impl", None) is not None
    return {
        "channels_last": _is_in_format(model, num_dimensions=4, memory_format=torch.channels_last),
        "channels_last_3d": _is_in_format(model, num_dimensions=5, memory_format=torch.channels_last_3d),
        "compile": compile_mode if is_compiled else "off",
    }


_CONVOLUTIONS: Mapping[int, tuple[type[nn.Module], ...]] = {
    4: (nn.Conv2d, nn.ConvTranspose2d),
    5: (nn.Conv3d, nn.ConvTranspose3d),
}
"""Layers that torch's own conversion takes, by their weights' dimensions (torch/nn/utils/memory_format.py)."""


def _is_in_format(model: nn.Module, *, num_dimensions: int, memory_format: torch.memory_format) -> bool:
    """Whether convolutions of these dimensions show a memory format, and all have this one."""
    layers = (module for module in model.modules() if isinstance(module, _CONVOLUTIONS[num_dimensions]))
    weights = [weight for layer in layers if isinstance(weight := layer.weight, Tensor)]
    return any(not weight.is_contiguous() for weight in weights) and all(
        weight.is_contiguous(memory_format=memory_format) for weight in weights
    )


def count_parameters(model: nn.Module) -> int:
    """The number of trainable parameters, each number counted."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def checkpoint_bytes(model: nn.Module) -> int:
    """About the bytes of a checkpoint: the state, and two moments of each trainable parameter, as Adam has them."""
    state = sum(value.nbytes for value in model.state_dict().values() if isinstance(value, torch.Tensor))
    return state + 2 * sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
