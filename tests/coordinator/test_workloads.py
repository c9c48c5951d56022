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


@pytest.mark.parametrize("name", ["d", "alpha", "rho", "t0", "lambd"])
def test_whole_number_with_the_everyday_name_of_an_optimizers_argument_may_be_a_size(name: str) -> None:
    """Knobs raced with a width of 64 were used with 1,024, which ran out of memory and refused 64."""
    assert workload(**{name: 64}).digest != workload(**{name: 1024}).digest
    assert workload(**{name: 0.9}).digest == workload(**{name: 0.5}).digest


@pytest.mark.parametrize(("name", "value"), [("nesterov", True), ("ns_steps", 6), ("warmup", 0), ("amsgrad", True)])
def test_argument_that_is_an_optimizers_alone_makes_no_workload(name: str, value: Scalar) -> None:
    assert workload(**{name: value}).digest == workload().digest


def test_nearest_workload_is_the_one_of_the_nearest_size() -> None:
    half, full, double = (workload(width_multiplier=size) for size in (0.5, 1.0, 2.0))
    assert workload(width_multiplier=0.6).nearest([double, full, half]) == half
    assert workload(width_multiplier=1.8).nearest([half, full, double]) == double
