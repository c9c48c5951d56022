import pytest

from autotune.coordinator.fitting import Fitting
from autotune.coordinator.workloads import Workload
from autotune.events import Scalar
from autotune.spec.model import Choice, StudySpec
from autotune.speed.knobs import KNOBS
from autotune.speed.racing.result import Heat, RaceResult, Split
from autotune.trial.leases import Lease
from tests.machines import machine
from tests.report.study_book import make_spec

CPU = Lease("cpu", None, ())
BASE: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.1, "width": 8, "precision": "fp32", "num_workers": 1}


def spec_of(speed_search: str) -> StudySpec:
    return make_spec().model_copy(update={"speed_search": Choice(name=speed_search)})


def empty_fitting(speed_search: str = "joint", *, num_gpus: int = 0, has_shared_devices: bool = False) -> Fitting:
    return Fitting(
        spec_of(speed_search),
        machine=machine(num_gpus=num_gpus),
        speed_parameters={*KNOBS, "own_knob"},
        has_shared_devices=has_shared_devices,
    )


def make_fitting(speed_search: str = "joint") -> Fitting:
    fitting = empty_fitting(speed_search)
    fitting.learn(1, parameters=BASE | {"batch_size": 64}, peak_bytes=None, is_out_of_memory=True)
    return fitting


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        ({}, True),
        ({"batch_size": 65}, True),
        ({"lr": 0.5}, True),
        ({"num_workers": 0}, True),
        ({"own_knob": 2}, True),
        ({"batch_size": 63}, False),
        ({"width": 4}, False),
        ({"optimizer": "sgd"}, False),
        ({"precision": "bf16"}, False),
        ({"width_multiplier": 0.5}, False),
        ({"dropout": 0.5}, True),
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


def test_on_a_cpu_only_more_than_the_whole_memory_is_refused() -> None:
    fitting = empty_fitting()
    for number, (batch_size, gibibytes) in enumerate([(100, 2), (200, 3)], start=1):
        parameters = BASE | {"batch_size": batch_size}
        fitting.learn(number, parameters=parameters, peak_bytes=gibibytes * 2**30, is_out_of_memory=False)
    assert machine().memory_bytes == 8 * 2**30
    fits = fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 700}, lease=CPU)
    refused = fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 720}, lease=CPU)
    assert fits is None
    assert refused == "predicted not to fit: about 8.2 GiB of 8.0 GiB, from trials 1 and 2"


def test_trial_without_a_report_and_without_a_loss_teaches_nothing() -> None:
    fitting = empty_fitting()
    for number, batch_size in enumerate((10, 10_000_000)):
        fitting.learn(number, parameters=BASE | {"batch_size": batch_size}, peak_bytes=None, is_out_of_memory=False)
    assert fitting.reason_not_to_launch(2, parameters=BASE | {"batch_size": 10**9}, lease=CPU) is None


def test_gpus_have_the_memory_that_torch_told_of_them() -> None:
    fitting = empty_fitting(num_gpus=2, has_shared_devices=True)
    for number, (batch_size, gibibytes) in enumerate([(100, 2), (200, 3)], start=1):
        parameters = BASE | {"batch_size": batch_size}
        fitting.learn(number, parameters=parameters, peak_bytes=gibibytes * 2**30, is_out_of_memory=False)
    lease = Lease("cuda:0", "1", ())
    assert fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 690}, lease=lease) is None
    assert fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 710}, lease=lease) is not None


def raced(peak_gibibytes: int, *, heats: tuple[Heat, ...] = (), **setting: Scalar) -> RaceResult:
    return RaceResult(
        baseline={},
        setting=setting,
        diagnoses=(),
        noise_floor=0.01,
        heats=heats,
        samples_per_second=1.0,
        baseline_samples_per_second=1.0,
        peak_memory_bytes=peak_gibibytes * 2**30,
        split=Split(data_wait=0.0, copy_to_device=0.0, compute=1.0, optimizer=0.0),
        seconds=1.0,
    )


def workload(batch_size: int) -> Workload:
    parameters: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.1, "width": 8, "batch_size": batch_size}
    return Workload.of("task", parameters, device="cpu", num_cores=2)


def test_peaks_of_races_tell_which_trials_do_not_fit() -> None:
    fitting = empty_fitting("race")
    fitting.learn_race(workload(100), raced(2, num_workers=2))
    fitting.learn_race(workload(200), raced(3, num_workers=1))
    proposed: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.2, "width": 8}
    fits = fitting.reason_not_to_launch(1, parameters=proposed | {"batch_size": 690}, lease=CPU)
    refused = fitting.reason_not_to_launch(1, parameters=proposed | {"batch_size": 720}, lease=CPU)
    assert fits is None
    assert refused == "predicted not to fit: about 8.2 GiB of 8.0 GiB, from races with batch_size 100 and 200"


def test_setting_that_ran_out_in_a_race_does_not_refuse_its_workload() -> None:
    lost = Heat(
        stage="screen",
        setting={"cache": "device"},
        changes={"cache": "device"},
        verdict="infeasible",
        reason="out of memory",
    )
    fitting = empty_fitting("race")
    fitting.learn_race(workload(100), raced(2, heats=(lost,), cache="off"))
    proposed: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.2, "width": 8, "batch_size": 100}
    assert fitting.reason_not_to_launch(1, parameters=proposed, lease=CPU) is None


def test_trial_that_shrinks_its_micro_batch_neither_teaches_nor_is_refused() -> None:
    shrinking: dict[str, Scalar] = BASE | {"batch_size": 64, "accumulate": "auto"}
    assert make_fitting("race").reason_not_to_launch(2, parameters=shrinking, lease=CPU) is None
    fitting = empty_fitting("race")
    fitting.learn(1, parameters=shrinking, peak_bytes=None, is_out_of_memory=True)
    fitting.learn_race(workload(100), raced(2, accumulate="auto"))
    fitting.learn_race(workload(200), raced(3, accumulate="auto"))
    for batch_size in (64, 10**6):
        parameters = BASE | {"batch_size": batch_size}
        assert fitting.reason_not_to_launch(3, parameters=parameters, lease=CPU) is None
