import pytest

from autotune.coordinator.fitting import Fitting
from autotune.events import EpochReport, Scalar
from autotune.spec.model import Choice, StudySpec
from autotune.trial.leases import Lease
from tests.machines import machine
from tests.report.study_book import make_spec
from tests.reports import make_report

CPU = Lease("cpu", None, ())
BASE: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.1, "width": 8, "precision": "fp32", "num_workers": 1}


def spec_of(speed_search: str) -> StudySpec:
    return make_spec().model_copy(update={"speed_search": Choice(name=speed_search)})


def make_fitting(speed_search: str = "joint") -> Fitting:
    fitting = Fitting(spec_of(speed_search), machine=machine(), has_shared_devices=False)
    fitting.learn(1, parameters=BASE | {"batch_size": 64}, reports=(), is_out_of_memory=True)
    return fitting


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        ({}, True),
        ({"batch_size": 65}, True),
        ({"lr": 0.5}, True),
        ({"num_workers": 0}, True),
        ({"batch_size": 63}, False),
        ({"width": 4}, False),
        ({"optimizer": "sgd"}, False),
        ({"precision": "bf16"}, False),
    ],
)
def test_trials_are_alike_when_they_need_the_same_memory(change: dict[str, Scalar], *, is_refused: bool) -> None:
    parameters = BASE | {"batch_size": 64} | change
    reason = make_fitting().reason_not_to_launch(2, parameters=parameters, lease=CPU)
    assert (reason is not None) is is_refused


def test_precision_that_a_race_decides_is_not_asked_for() -> None:
    proposed: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.1, "width": 8, "batch_size": 64}
    assert make_fitting("race").reason_not_to_launch(2, parameters=proposed, lease=CPU) is not None


def test_baseline_is_always_tried() -> None:
    assert make_fitting().reason_not_to_launch(0, parameters=BASE | {"batch_size": 64}, lease=CPU) is None


def epochs(*gibibytes: int) -> list[EpochReport]:
    return [make_report(epoch, peak_memory_bytes=peak * 2**30) for epoch, peak in enumerate(gibibytes, start=1)]


def test_on_a_cpu_only_more_than_the_whole_memory_is_refused() -> None:
    fitting = Fitting(spec_of("joint"), machine=machine(), has_shared_devices=False)
    for number, (batch_size, reports) in enumerate([(100, epochs(1, 2)), (200, epochs(3, 3))], start=1):
        parameters = BASE | {"batch_size": batch_size}
        fitting.learn(number, parameters=parameters, reports=reports, is_out_of_memory=False)
    assert machine().memory_bytes == 8 * 2**30
    fits = fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 700}, lease=CPU)
    refused = fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 720}, lease=CPU)
    assert fits is None
    assert refused == "predicted not to fit: about 8.2 GiB of 8.0 GiB, from trials 1 and 2"


def test_trial_without_a_report_and_without_a_loss_teaches_nothing() -> None:
    fitting = Fitting(spec_of("joint"), machine=machine(), has_shared_devices=False)
    for number, batch_size in enumerate((10, 10_000_000)):
        fitting.learn(number, parameters=BASE | {"batch_size": batch_size}, reports=(), is_out_of_memory=False)
    assert fitting.reason_not_to_launch(2, parameters=BASE | {"batch_size": 10**9}, lease=CPU) is None


def test_gpus_have_the_memory_that_torch_told_of_them() -> None:
    fitting = Fitting(spec_of("joint"), machine=machine(num_gpus=2), has_shared_devices=True)
    for number, (batch_size, reports) in enumerate([(100, epochs(2)), (200, epochs(3))], start=1):
        parameters = BASE | {"batch_size": batch_size}
        fitting.learn(number, parameters=parameters, reports=reports, is_out_of_memory=False)
    lease = Lease("cuda:0", "1", ())
    assert fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 690}, lease=lease) is None
    assert fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 710}, lease=lease) is not None
