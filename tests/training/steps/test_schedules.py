import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.training.parameters import Parameters
from autotune.training.steps.schedules import make_scheduler

STEPS = 40


def new_optimizer(lr: float = 0.5) -> Optimizer:
    return SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def rates(scheduler: LRScheduler) -> list[float]:
    seen = []
    for _ in range(STEPS):
        seen.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return [float(rate) for rate in seen]


def scheduled(parameters: dict[str, Scalar]) -> list[float]:
    return rates(make_scheduler(new_optimizer(), params=Parameters(parameters), total_steps=STEPS))


def test_constant_is_the_default() -> None:
    assert scheduled({}) == [0.5] * STEPS


def test_cosine_is_torchs() -> None:
    expected = rates(CosineAnnealingLR(new_optimizer(), T_max=STEPS))
    assert scheduled({"schedule": "cosine"}) == pytest.approx(expected, abs=1e-6)


def test_step_is_torchs() -> None:
    expected = rates(StepLR(new_optimizer(), step_size=10, gamma=0.3))
    given: dict[str, Scalar] = {"schedule": "step", "schedule_gamma": 0.3, "schedule_step": 0.25}
    assert scheduled(given) == pytest.approx(expected, rel=1e-9)


def test_one_cycle_has_the_shape_of_torchs() -> None:
    # torch counts to its last step, we to the end of it: the same curve, one step in 40 apart.
    expected = rates(OneCycleLR(new_optimizer(), max_lr=0.5, total_steps=STEPS + 1))
    assert scheduled({"schedule": "one_cycle"}) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_warmup_rises_to_the_full_rate_and_the_schedule_follows(schedule: str) -> None:
    seen = scheduled({"schedule": schedule, "warmup": 0.25})
    assert seen[:10] == pytest.approx([0.5 * (step + 1) / 11 for step in range(10)], rel=1e-9)
    assert seen[10] == 0.5


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "step"])
def test_no_rate_is_zero_or_above_the_one_given(schedule: str) -> None:
    assert all(0 < rate <= 0.5 for rate in scheduled({"schedule": schedule, "warmup": 0.1}))


def test_whole_warmup_leaves_no_division_by_zero() -> None:
    assert scheduled({"schedule": "cosine", "warmup": 1.0})[-1] < 0.5


def test_unknown_schedule_names_the_known() -> None:
    with pytest.raises(TaskError, match=r"must be one of constant, cosine, one_cycle, step, got 'linear'"):
        scheduled({"schedule": "linear"})
