"""The optimizer that a trial's parameters name, with their arguments."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from typing_extensions import override

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.spec.optimizers import DEFAULT_OPTIMIZER, OPTIMIZERS, as_fraction, is_own_optimizer
from autotune.training.parameters import Parameters
from autotune.training.references import blaming, import_object

_TUPLES: Mapping[str, tuple[str, ...]] = {"betas": ("beta1", "beta2")}
"""Tuple arguments of a user's own optimizer, with the names of their elements in a spec."""

_IMPLEMENTATIONS = {
    "for_loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}


def make_optimizer(model: nn.Module, params: Parameters, *, is_recorded: bool = False) -> Optimizer:
    """The optimizer for all trainable parameters of the model.

    Each argument that has a parameter of its name takes it; the others keep their defaults.
    Muon takes the matrices (2-D parameters) but those of embeddings, and AdamW the rest
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html).

    Args:
        model: Its parameters are trained.
        params: The trial's parameters.
        is_recorded: Whether its step is to be part of a CUDA graph. SGD's can be so only in one fused kernel, which
            is taken where ``optimizer_impl`` says nothing.

    Raises:
        TaskError: The optimizer is unknown, or refused its arguments.
    """
    name = str(params.get("optimizer", DEFAULT_OPTIMIZER))
    optimizer_class = _optimizer_class(name)
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise TaskError(f"optimizer {name}: the model needs a parameter to train, got none with requires_grad")
    tuples = OPTIMIZERS[name].tuples if name in OPTIMIZERS else _TUPLES
    arguments = _arguments(optimizer_class, params, tuples=tuples)
    with blaming(f"optimizer {name}", f"{optimizer_class.__name__}(...)"):
        if name == "muon":
            return MuonWithAdamW(trainable, arguments, embeddings=embeddings_of(model))
        if is_recorded and optimizer_class is torch.optim.SGD and "optimizer_impl" not in params:
            arguments["fused"] = True
        return optimizer_class(trainable, **arguments)


def _optimizer_class(name: str) -> type[Optimizer]:
    """The class of this name; raises TaskError where there is none."""
    if is_own_optimizer(name):
        found = import_object(name, kind="optimizer")
        if inspect.isclass(found) and issubclass(found, Optimizer):
            return found
        raise TaskError(f"optimizer {name}: must be a subclass of torch.optim.Optimizer")
    if name not in OPTIMIZERS:
        raise TaskError(f"optimizer: must be one of {', '.join(OPTIMIZERS)} or package.module:Class, got {name!r}")
    class_name = OPTIMIZERS[name].class_name
    if not hasattr(torch.optim, class_name):
        raise TaskError(f"optimizer {name}: torch {torch.__version__} has no {class_name}; choose another")
    found_class: type[Optimizer] = getattr(torch.optim, class_name)
    return found_class


def _arguments(
    optimizer_class: type[Optimizer], params: Parameters, *, tuples: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """The arguments of the class that the parameters give; tuples are made of their elements' parameters."""
    signature = inspect.signature(optimizer_class).parameters
    halves = {part for name, parts in tuples.items() if name in signature for part in parts}
    arguments: dict[str, Any] = {}
    for name in signature:
        if name in tuples:
            given = _tuple(params, parts=tuples[name], default=signature[name].default)
            if given is not None:
                arguments[name] = given
        elif name in params and name not in halves:
            arguments[name] = params[name]
    if "optimizer_impl" in params:
        wanted = _IMPLEMENTATIONS[str(params["optimizer_impl"])]
        arguments |= {name: value for name, value in wanted.items() if name in signature}
    return arguments


def _tuple(params: Parameters, *, parts: tuple[str, ...], default: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The tuple of these parameters, absent ones from the default; None where all are absent."""
    if not any(part in params for part in parts):
        return None
    return tuple(as_fraction(params.get(part, value)) for part, value in zip(parts, default, strict=True))


def implementation_in_force(optimizer: Optimizer, *, device: torch.device) -> Scalar:
    """The optimizer's implementation on this device: ``fused``, ``foreach`` or ``for_loop``.

    Where nothing is set, torch takes foreach on CUDA and the loop elsewhere
    (https://docs.pytorch.org/docs/stable/optim.html#algorithms).
    """
    defaults = optimizer.defaults
    if defaults.get("fused"):
        return "fused"
    foreach = defaults.get("foreach", False)
    if foreach is None and defaults.get("fused") is None:
        # Adafactor alone takes the loop there too (torch/optim/_adafactor.py, torch 2.13).
        has_foreach = device.type == "cuda" and not isinstance(optimizer, torch.optim.Adafactor)
        return "foreach" if has_foreach else "for_loop"
    return "foreach" if foreach else "for_loop"


def learning_rate(items: Iterable[object]) -> float | None:
    """The learning rate of the first group of the first optimizer among the items; None where there is none."""
    optimizers = (item for item in items if isinstance(item, Optimizer))
    return next((float(optimizer.param_groups[0]["lr"]) for optimizer in optimizers), None)


def embeddings_of(model: nn.Module) -> list[nn.Parameter]:
    """Weights of embeddings, also where an output layer shares them: they are tables of vectors, not linear maps."""
    tables = [module for module in model.modules() if isinstance(module, nn.Embedding | nn.EmbeddingBag)]
    return [weight for table in tables for weight in table.parameters()]


class MuonWithAdamW(Optimizer):
    """Muon for matrices, AdamW for biases, norms, convolutions and embeddings, as one optimizer.

    Muon's step is scaled to AdamW's size (``adjust_lr_fn="match_rms_adamw"``, Moonshot 2025,
    arXiv 2502.16982), so that one learning rate and weight decay serve both.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], arguments: Mapping[str, Any], *, embeddings: Iterable[nn.Parameter]
    ) -> None:
        parameters = list(parameters)
        no_matrices = {id(p) for p in embeddings} | {id(p) for p in parameters if p.dim() != 2}  # noqa: PLR2004
        matrices = [p for p in parameters if id(p) not in no_matrices]
        others = [p for p in parameters if id(p) in no_matrices]
        shared = {name: value for name, value in arguments.items() if name in {"lr", "weight_decay"}}
        self._parts: list[Optimizer] = []
        if matrices:
            self._parts.append(torch.optim.Muon(matrices, **{"adjust_lr_fn": "match_rms_adamw", **arguments}))
        if others:
            self._parts.append(torch.optim.AdamW(others, **shared))
        super().__init__(parameters, dict(self._parts[0].defaults))
        self._share_groups()

    def _share_groups(self) -> None:
        # The very dictionaries of the parts: a scheduler that sets a group's lr sets the part's.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @override
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None
        for part in self._parts:
            part.step()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()
