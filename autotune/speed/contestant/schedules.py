"""Schedules of a loop's own that know when a training ends, in a training that has no end."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR


@contextmanager
def endless_schedules() -> Iterator[None]:
    """OneCycleLR keeps its last learning rate after its last step, where torch raises (torch 2.13).

    No other schedule of torch's minds: they go on by their formula, or end as they are.
    """
    scheduled = OneCycleLR.get_lr

    def get_lr(self: OneCycleLR) -> list[float | Tensor]:
        if self.last_epoch > self.total_steps:
            return [group["lr"] for group in self.optimizer.param_groups]
        return scheduled(self)

    OneCycleLR.get_lr = get_lr  # type: ignore[method-assign] # in a process that does nothing else
    try:
        yield
    finally:
        OneCycleLR.get_lr = scheduled  # type: ignore[method-assign]
