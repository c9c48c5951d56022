"""What an optimizer's groups say beside their parameters, and whether that is as it was when a step was recorded."""

from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from autotune.training.steps.host_state import SeenTensor

_RATE = "lr"
_PARAMETERS = "params"
_TAKE_RATE_FROM_HOST = (torch.optim.RMSprop, torch.optim.Adadelta)
"""Step by step they ask the device for a learning rate that is there (``alpha=-lr``, torch 2.13), over lists not."""


class OptimizerSettings:
    """Notices that somebody set something in the optimizer's groups: a schedule, or a loop by hand.

    The learning rate of a group is a tensor, as ``make_recordable`` leaves it, and stays this tensor: another value is
    filled in. All other settings are numbers and flags, which a recorded step has as they were. A list of parameters is
    told by its identity and its length.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.hold()

    def hold(self) -> None:
        """Remember what the groups say now, for later looks to compare with."""
        groups = self._optimizer.param_groups
        # Schedules keep numbers of their own in a group (max_momentum), which the optimizer never reads.
        self._names = tuple(name for name in groups[0] if name in self._optimizer.defaults and name != _RATE)
        self._read = itemgetter(*self._names)
        self._held: list[tuple[Any, list[Tensor], int, tuple[Any, ...]]] = [
            (group[_RATE], group[_PARAMETERS], len(group[_PARAMETERS]), self._read(group)) for group in groups
        ]

    def were_set(self) -> bool:
        """Whether something was set, perhaps to its old value; takes 0.2 to 0.3 microseconds for each group."""
        groups, read = self._optimizer.param_groups, self._read
        if len(groups) != len(self._held):
            return True
        for group, (rate, parameters, number, others) in zip(groups, self._held, strict=True):
            # The rate by identity: to ask whether a tensor equals a number waits for the device.
            if group[_RATE] is not rate or group[_PARAMETERS] is not parameters:
                return True
            if len(parameters) != number or read(group) != others:
                return True
        return False

    def take_over(self) -> str | None:
        """Fill in the learning rates that were set, and remember all other settings.

        Groups may share one tensor for their learning rates. A group of them whose rate was set gets a tensor of its
        own, which a recorded step does not have.

        Returns:
            The name of a setting that a recorded step does not have as it is now; None where it has all of them.
        """
        groups = self._optimizer.param_groups
        changed = None if len(groups) == len(self._held) else "list of groups"
        for group, (rate, parameters, number, others) in zip(groups, self._held, strict=False):
            if isinstance(rate, Tensor) and group[_RATE] is not rate:
                own = rate
                if sum(rate is other for other, *_ in self._held) > 1:
                    own, changed = rate.clone(), "tensor for lr"
                _fill(own, group[_RATE])
                group[_RATE] = own
            if group[_PARAMETERS] is not parameters or len(parameters) != number:
                changed = "list of parameters"
            for name, value in zip(self._names, others, strict=True):
                if group[name] != value:
                    changed = name
        self.hold()
        return changed


def _fill(rate: Tensor, value: float | Tensor) -> None:
    """Give the tensor this value without waiting for the device."""
    if isinstance(value, Tensor) and value.device == rate.device:
        rate.copy_(value.detach())
    else:
        rate.fill_(float(value))


def read_state(optimizer: Optimizer) -> dict[str, object]:
    """The optimizer's parameters and what it keeps for each, by name; the values are equal while nothing changes."""
    found: dict[str, object] = {}
    for number, parameter in enumerate(each for group in optimizer.param_groups for each in group[_PARAMETERS]):
        found[f"parameter {number} of the optimizer"] = SeenTensor(parameter)
        for name, value in optimizer.state.get(parameter, {}).items():
            found[f"{name} of parameter {number}"] = SeenTensor(value) if isinstance(value, Tensor) else value
    return found


def is_recordable(optimizer: Optimizer) -> bool:
    """Whether the optimizer's step is the same on the host each time, and takes its learning rate from the device."""
    groups, kind = optimizer.param_groups, type(optimizer)
    if not kind.__module__.startswith("torch.optim"):
        return False
    if kind is torch.optim.SGD:
        return all(group["fused"] for group in groups)
    if kind in _TAKE_RATE_FROM_HOST and any(group["foreach"] is False for group in groups):
        return False
    return all("capturable" in group for group in groups)


def make_recordable(optimizer: Optimizer) -> None:
    """Bring what changes between steps to the device: the learning rate, and the optimizer's own count of steps."""
    for group in optimizer.param_groups:
        parameters = group["params"]
        if not parameters:
            continue
        device = parameters[0].device
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32).to(device)
        if "capturable" in group:
            group["capturable"] = True
        for parameter in parameters:
            state = optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.device != parameter.device:
                    state[name] = value.to(parameter.device)
    # Else torch warns that the steps before the first recorded one are none.
    optimizer._warned_capturable_if_run_uncaptured = True  # noqa: SLF001


def complete_momentum(optimizer: Optimizer) -> None:
    """Give SGD's parameters that are trained from now on a momentum of zero, where others of their group have one.

    The fused kernel takes a group's momenta all or none (else a TypeError in torch 2.13). A first step from zero is
    the same as one without momentum, unless there is dampening, which a first step leaves out.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        kept = [optimizer.state.get(parameter, {}).get("momentum_buffer") for parameter in group["params"]]
        if not group["fused"] or group["dampening"] or all(buffer is None for buffer in kept):
            continue
        for parameter, buffer in zip(group["params"], kept, strict=True):
            if buffer is None and parameter.requires_grad:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
