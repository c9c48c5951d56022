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
    """The same model on the device; compiled in place, so that names in its state stay as they were."""
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
    import torch._dynamo.config as dynamo_config

    # Dynamo skips frames of torch's own modules: an nn.Sequential would silently stay as it is without a frame
    # around it, which torch.compile(model) makes by itself and Module.compile does not (torch 2.13).
    with dynamo_config.patch(wrap_top_frame=True):
        model.compile(mode=mode)


def model_knobs_in_force(model: nn.Module, *, compile_mode: str) -> dict[str, Scalar]:
    """The model's knobs, as its weights lie and its calls go.

    One input channel or a 1x1 kernel has no memory format to tell. ``compile`` is the mode where calls of
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
"""By the dimensions of their weights: what torch's own conversion takes (torch/nn/utils/memory_format.py)."""


def _is_in_format(model: nn.Module, *, num_dimensions: int, memory_format: torch.memory_format) -> bool:
    layers = (module for module in model.modules() if isinstance(module, _CONVOLUTIONS[num_dimensions]))
    weights = [weight for layer in layers if isinstance(weight := layer.weight, Tensor)]
    return any(not weight.is_contiguous() for weight in weights) and all(
        weight.is_contiguous(memory_format=memory_format) for weight in weights
    )


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def checkpoint_bytes(model: nn.Module) -> int:
    """About what a checkpoint takes: the state, and two moments of each trainable parameter, as Adam has them."""
    state = sum(value.nbytes for value in model.state_dict().values() if isinstance(value, torch.Tensor))
    return state + 2 * sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
