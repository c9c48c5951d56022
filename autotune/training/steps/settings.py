"""What an optimizer's groups say beside their parameters, and whether that is as it was when a step was recorded."""

from operator import itemgetter
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

_RATE = "lr"
_PARAMETERS = "params"


class OptimizerSettings:
    """Notices that somebody set something in the optimizer's groups: a schedule, or a loop by hand.

    The learning rate of a group is a tensor, as ``make_recordable`` leaves it, and stays this one: another value for it
    is filled in. All else are numbers and flags, which a recorded step has as they were.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self.hold()

    def hold(self) -> None:
        """What the groups say now is what later looks are held against."""
        groups = self._optimizer.param_groups
        # Schedules keep numbers of their own in a group (max_momentum), which the optimizer never reads.
        self._names = tuple(name for name in groups[0] if name in self._optimizer.defaults and name != _RATE)
        self._read = itemgetter(*self._names)
        self._held: list[tuple[Any, list[Tensor], tuple[Any, ...]]] = [
            (group[_RATE], group[_PARAMETERS], self._read(group)) for group in groups
        ]

    def were_set(self) -> bool:
        """Something was, a learning rate perhaps to what it is already; 0.2 to 0.3 microseconds for each group."""
        groups, read = self._optimizer.param_groups, self._read
        if len(groups) != len(self._held):
            return True
        for group, (rate, parameters, others) in zip(groups, self._held, strict=True):
            # The rate by identity: to ask whether a tensor equals a number waits for the device.
            if group[_RATE] is not rate or group[_PARAMETERS] is not parameters or read(group) != others:
                return True
        return False

    def take_over(self) -> str | None:
        """Fill in the learning rates that were set, and hold all else; the name of one that is another one now."""
        groups = self._optimizer.param_groups
        changed = None if len(groups) == len(self._held) else "list of groups"
        for group, (rate, parameters, others) in zip(groups, self._held, strict=False):
            if isinstance(rate, Tensor) and group[_RATE] is not rate:
                _fill(rate, group[_RATE])
                group[_RATE] = rate
            if group[_PARAMETERS] is not parameters:
                changed = "list of parameters"
            for name, value in zip(self._names, others, strict=True):
                if group[name] != value:
                    changed = name
        self.hold()
        return changed


def _fill(rate: Tensor, value: float | Tensor) -> None:
    """Without waiting for the device."""
    if isinstance(value, Tensor) and value.device == rate.device:
        rate.copy_(value.detach())
    else:
        rate.fill_(float(value))
