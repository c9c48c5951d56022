"""Learning-rate schedules in closed form: the factor on the learning rate at a step, and nothing remembered."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override

from autotune.errors import TaskError
from autotune.spec.learning import SCHEDULES
from autotune.training.parameters import Parameters

_ONE_CYCLE_RISE = 0.3
"""Share of all steps in which one_cycle rises, as in torch's OneCycleLR (pct_start)."""
_ONE_CYCLE_START = 1 / 25
"""First factor of one_cycle, by OneCycleLR's div_factor; the given learning rate is the peak."""
_ONE_CYCLE_END = 1 / 25 / 1e4
"""Last factor of one_cycle, by OneCycleLR's div_factor and final_div_factor."""
_LEAST_WARMUP = 0.01
"""Least factor in the warm-up of a trial in seconds or samples, whose first steps would otherwise be lost."""


@dataclass
class Factor:
    """The factor on the initial learning rate, for a step counted from 0.

    In the first ``warmup_steps`` it rises linearly, and the schedule follows over the rest.
    The class is not frozen, since LambdaLR restores its fields through ``__dict__``.
    """

    schedule: str
    total_steps: int
    warmup_steps: int = 0
    gamma: float = 0.1
    step_share: float = 1 / 3

    def __call__(self, step: int) -> float:
        """The factor at this step; steps after the last have the last one's."""
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        length = max(1, self.total_steps - self.warmup_steps)
        return self.scheduled(min(1.0, (step - self.warmup_steps) / length))

    def scheduled(self, progress: float) -> float:
        """The factor when a share of ``progress``, 0 to 1, of the steps after the warm-up is done."""
        if self.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if self.schedule == "one_cycle":
            return _one_cycle(progress)
        if self.schedule == "step":
            return float(self.gamma ** math.floor(progress / self.step_share + 1e-9))
        return 1.0


class Steady(LambdaLR):
    """The constant schedule, which counts a step and sets nothing; LambdaLR's own step takes some microseconds."""

    @override
    def step(self, epoch: int | None = None) -> None:
        if self.last_epoch < 0:  # torch's own first step, from the constructor
            super().step(epoch)
        else:
            self.last_epoch += 1


def make_scheduler(
    optimizer: Optimizer, *, params: Parameters, total_steps: int, share: Callable[[], float] | None = None
) -> LambdaLR:
    """The scheduler that ``schedule``, ``warmup``, ``schedule_gamma`` and ``schedule_step`` ask for.

    It is to be stepped after each optimizer step. ``warmup`` and ``schedule_step`` are shares of all steps,
    or of the trial's seconds or samples.

    Args:
        optimizer: The optimizer whose learning rates are scheduled.
        params: The trial's parameters.
        total_steps: Steps of all epochs together.
        share: Tells the share of its seconds or samples that the trial has had, where it is given a number of
            them. The schedule then follows this share, or the share of the steps where that is larger.

    Raises:
        TaskError: The schedule is unknown.
    """
    schedule = str(params.get("schedule", "constant"))
    if schedule not in SCHEDULES:
        raise TaskError(f"schedule: must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    warmup = float(params.get("warmup", 0.0))
    factor = Factor(
        schedule=schedule,
        total_steps=total_steps,
        warmup_steps=round(warmup * total_steps),
        gamma=float(params.get("schedule_gamma", 0.1)),
        step_share=float(params.get("schedule_step", 1 / 3)),
    )
    if schedule == "constant" and warmup == 0:
        return Steady(optimizer, factor)
    if share is None:
        return LambdaLR(optimizer, factor)
    return LambdaLR(optimizer, _follow(factor, share=share, warmup=warmup))


def _follow(factor: Factor, *, share: Callable[[], float], warmup: float) -> Callable[[int], float]:
    """The factor as a function of the step that follows the trial's share where this is further."""

    # A plain function: of one, LambdaLR keeps no state, and the share is the trial's own.
    def at(step: int) -> float:
        done = min(1.0, max(share(), step / max(1, factor.total_steps)))
        if done < warmup:
            return max(done / warmup, _LEAST_WARMUP)
        return factor.scheduled((done - warmup) / (1 - warmup) if warmup < 1 else 1.0)

    return at


def _one_cycle(progress: float) -> float:
    """The factor of one_cycle at this share of its steps."""
    if progress < _ONE_CYCLE_RISE:
        return _between(_ONE_CYCLE_START, 1.0, progress / _ONE_CYCLE_RISE)
    return _between(1.0, _ONE_CYCLE_END, (progress - _ONE_CYCLE_RISE) / (1 - _ONE_CYCLE_RISE))


def _between(start: float, end: float, share: float) -> float:
    """The value at this share of half a cosine from ``start`` to ``end``."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
