import pytest

from autotune.coordinator.workloads import Workload
from autotune.events import Scalar


def workload(**learning: Scalar) -> Workload:
    return Workload.of("task", learning, device="cpu", num_cores=2)


@pytest.mark.parametrize("name", ["width", "width_multiplier", "mlp_ratio", "expansion", "depth_mult", "scale"])
def test_float_that_is_a_size_makes_another_workload(name: str) -> None:
    assert workload(**{name: 0.5}).digest != workload(**{name: 1.0}).digest


@pytest.mark.parametrize(
    "name", ["lr", "weight_decay", "dropout", "dropout_ratio", "lr_scale", "label_smoothing", "mixup"]
)
def test_float_that_is_a_rate_makes_none(name: str) -> None:
    assert workload(**{name: 0.5}).digest == workload(**{name: 0.1}).digest


def test_nearest_workload_is_the_one_of_the_nearest_size() -> None:
    half, full, double = (workload(width_multiplier=size) for size in (0.5, 1.0, 2.0))
    assert workload(width_multiplier=0.6).nearest([double, full, half]) == half
    assert workload(width_multiplier=1.8).nearest([half, full, double]) == double
