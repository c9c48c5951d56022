import pytest

from autotune.coordinator import fitting as fitting_module
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.fitting import make_fitting as make_fitting_of
from autotune.coordinator.opening.stage import Stage
from autotune.events import Rehearsal, Scalar
from autotune.hardware import Machine
from autotune.search.space import SearchSpace
from autotune.shortages import Shortage
from autotune.spec.model import Choice, StudySpec
from autotune.speed.knobs import KNOBS, with_own
from autotune.task_knob import TaskKnob
from autotune.trial.leases import Lease, make_pool
from tests.machines import machine
from tests.report.study_book import make_spec

GIB = 2**30
CPU = Lease("cpu", None, ())
GPU = Lease("cuda:0", "0", (), accelerator=0)
BASE: dict[str, Scalar] = {"optimizer": "adam", "lr": 0.1, "width": 8, "precision": "fp32", "num_workers": 1}


def spec_of(speed_search: str) -> StudySpec:
    return make_spec().model_copy(update={"speed_search": Choice(name=speed_search)})


OWN = TaskKnob(name="own_knob", choices=(1, 2), simplest=1)


def empty_fitting(speed_search: str = "joint", *, num_gpus: int = 0) -> Fitting:
    return Fitting(
        spec_of(speed_search),
        machine=machine(num_gpus=num_gpus),
        knobs=with_own([OWN], task="a task"),
        device="cuda" if num_gpus else "cpu",
        has_shared_devices=num_gpus > 0,
    )


def make_fitting(speed_search: str = "joint", *, num_gpus: int = 0, shortage: Shortage = "device") -> Fitting:
    fitting = empty_fitting(speed_search, num_gpus=num_gpus)
    fitting.learn(1, parameters=BASE | {"batch_size": 64}, peak_bytes=None, shortage=shortage)
    return fitting


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        ({}, True),
        ({"batch_size": 65}, True),
        ({"lr": 0.5}, True),
        ({"cache": "off", "own_knob": 1}, True),
        ({"torch_threads": 4}, True),
        ({"num_workers": 2}, False),
        ({"own_knob": 2}, False),
        ({"validation_batch_size": 4096}, False),
        ({"channels_last": True}, False),
        ({"batch_size": 63}, False),
        ({"width": 4}, False),
        ({"optimizer": "sgd"}, False),
        ({"amsgrad": True}, False),
        ({"momentum": 0.9}, False),
        ({"momentum": 0.0, "beta1": 0.5}, True),
        ({"precision": "bf16"}, False),
        ({"width_multiplier": 0.5}, False),
        ({"dropout": 0.5}, True),
    ],
)
def test_trials_are_alike_when_they_need_the_same_memory(change: dict[str, Scalar], *, is_refused: bool) -> None:
    parameters = BASE | {"batch_size": 64} | change
    reason = make_fitting().reason_not_to_launch(2, parameters=parameters, lease=CPU)
    assert (reason is not None) is is_refused


@pytest.mark.parametrize("speed_search", ["race", "joint", "fixed"])
def test_whoever_decides_the_speed_parameters_they_fix_what_a_trial_holds(speed_search: str) -> None:
    """A race's winner with a cache on the device made a line with the baseline, and refused what fits."""
    fitting = empty_fitting(speed_search)
    fitting.learn(0, parameters=BASE | {"batch_size": 64}, peak_bytes=GIB // 4)
    cached = BASE | {"cache": "memory", "num_workers": 0}
    fitting.learn_race(cached | {"batch_size": 128}, peak_bytes=3 * GIB)
    for parameters in (BASE, cached):
        assert fitting.reason_not_to_launch(1, parameters=parameters | {"batch_size": 384}, lease=CPU) is None


@pytest.mark.parametrize(("shortage", "is_refused"), [("device", True), ("host", False)])
def test_beside_a_gpu_workers_are_of_the_hosts_memory_alone(shortage: Shortage, *, is_refused: bool) -> None:
    fitting = make_fitting(num_gpus=1, shortage=shortage)
    for workers, is_known in ((1, True), (4, is_refused)):
        parameters = BASE | {"batch_size": 64, "num_workers": workers}
        reason = fitting.reason_not_to_launch(2, parameters=parameters, lease=GPU)
        assert (reason is not None) is is_known
        assert reason is None or reason.endswith("(the host's memory)") is not is_refused


def test_loss_of_a_study_without_batch_sizes_is_learned() -> None:
    """Without one a loss counted as no larger than what nobody had trained, and was forgotten."""
    fitting = empty_fitting()
    fitting.learn(1, parameters=BASE, peak_bytes=None, shortage="device")
    refused = fitting.reason_not_to_launch(2, parameters=BASE, lease=CPU)
    assert refused == "predicted not to fit: trial 1 ran out of memory"
    assert fitting.reason_not_to_launch(2, parameters=BASE | {"width": 4}, lease=CPU) is None
    fitting.learn(3, parameters=BASE, peak_bytes=GIB)
    assert fitting.reason_not_to_launch(4, parameters=BASE, lease=CPU) is None


def test_baseline_is_always_tried() -> None:
    assert make_fitting().reason_not_to_launch(0, parameters=BASE | {"batch_size": 64}, lease=CPU) is None


def test_on_a_cpu_only_more_than_the_whole_memory_is_refused() -> None:
    fitting = empty_fitting()
    for number, (batch_size, gibibytes) in enumerate([(100, 2), (200, 3)], start=1):
        parameters = BASE | {"batch_size": batch_size}
        fitting.learn(number, parameters=parameters, peak_bytes=gibibytes * 2**30)
    assert machine().memory_bytes == 8 * 2**30
    fits = fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 700}, lease=CPU)
    refused = fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 720}, lease=CPU)
    assert fits is None
    assert refused == "predicted not to fit: about 8.2 GiB of 8.0 GiB, from trials 1 and 2"


def test_trial_without_a_report_and_without_a_loss_teaches_nothing() -> None:
    fitting = empty_fitting()
    for number, batch_size in enumerate((10, 10_000_000)):
        fitting.learn(number, parameters=BASE | {"batch_size": batch_size}, peak_bytes=None)
    assert fitting.reason_not_to_launch(2, parameters=BASE | {"batch_size": 10**9}, lease=CPU) is None


def test_gpus_have_the_memory_that_torch_told_of_them() -> None:
    fitting = empty_fitting(num_gpus=2)
    for number, (batch_size, gibibytes) in enumerate([(100, 2), (200, 3)], start=1):
        parameters = BASE | {"batch_size": batch_size}
        fitting.learn(number, parameters=parameters, peak_bytes=gibibytes * 2**30)
    assert fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 690}, lease=GPU) is None
    assert fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": 710}, lease=GPU) is not None


def test_peaks_of_races_tell_which_trials_do_not_fit() -> None:
    fitting = empty_fitting("race")
    fitting.learn_race(BASE | {"batch_size": 100}, peak_bytes=2 * GIB)
    fitting.learn_race(BASE | {"batch_size": 200}, peak_bytes=3 * GIB)
    fits = fitting.reason_not_to_launch(1, parameters=BASE | {"lr": 0.2, "batch_size": 690}, lease=CPU)
    refused = fitting.reason_not_to_launch(1, parameters=BASE | {"lr": 0.2, "batch_size": 720}, lease=CPU)
    assert fits is None
    assert refused == "predicted not to fit: about 8.2 GiB of 8.0 GiB, from races with batch_size 100 and 200"


def test_trial_that_shrinks_its_micro_batch_neither_teaches_nor_is_refused() -> None:
    shrinking: dict[str, Scalar] = BASE | {"batch_size": 64, "accumulate": "auto"}
    assert make_fitting("race").reason_not_to_launch(2, parameters=shrinking, lease=CPU) is None
    fitting = empty_fitting("race")
    fitting.learn(1, parameters=shrinking, peak_bytes=None, shortage="device")
    for batch_size in (100, 200):
        fitting.learn_race(shrinking | {"batch_size": batch_size}, peak_bytes=batch_size * GIB)
    for batch_size in (64, 10**6):
        parameters = BASE | {"batch_size": batch_size}
        assert fitting.reason_not_to_launch(3, parameters=parameters, lease=CPU) is None


@pytest.fixture
def other_gpu() -> Machine:
    """A host with a GPU of 8 GiB, and one of another kind with 16."""
    both = machine(num_gpus=2)
    small, large = both.torch.accelerators
    gpus = (small, large.model_copy(update={"name": "another GPU", "memory_bytes": 16 * GIB}))
    return both.model_copy(update={"torch": both.torch.model_copy(update={"accelerators": gpus})})


def staged(host: Machine, *, device: str, jobs: int) -> Fitting:
    pool = make_pool(device, facts=host.torch, jobs=jobs)
    space = SearchSpace((), fixed={}, left_out=(), baseline={})
    stage = Stage(host.seen_from(device), "cuda", pool, KNOBS, space, Rehearsal(metric_names=()))
    return make_fitting_of(spec_of("joint"), stage=stage, jobs=jobs)


@pytest.mark.parametrize(("device", "largest"), [("cuda:0", 700), ("cuda:1", 1500), ("cuda", 700)])
def test_room_is_that_of_the_device_that_a_trial_trains_on(other_gpu: Machine, device: str, largest: int) -> None:
    """Trials on the smaller GPU were measured against the larger one's memory."""
    fitting = staged(other_gpu, device=device, jobs=2)  # two on one GPU: what is held there is not looked at
    lease = make_pool(device, facts=other_gpu.torch, jobs=1).acquire()
    assert lease is not None
    for number, batch_size in enumerate((100, 200), start=1):
        fitting.learn(number, parameters=BASE | {"batch_size": batch_size}, peak_bytes=(1 + batch_size // 100) * GIB)
    fits, refused = (
        fitting.reason_not_to_launch(3, parameters=BASE | {"batch_size": size}, lease=lease)
        for size in (largest, largest + 20)
    )
    assert fits is None
    assert refused is not None


def test_two_trials_on_one_named_gpu_share_it_however_many_the_host_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the other trial held was taken for other programs', which stays."""
    monkeypatch.setattr(fitting_module, "held_device_bytes", lambda _: 7 * GIB)
    host = machine(num_gpus=4)
    refused = []
    for device, jobs in (("cuda:1", 2), ("cuda:1", 1)):
        fitting = staged(host, device=device, jobs=jobs)
        lease = make_pool(device, facts=host.torch, jobs=jobs).acquire()
        assert lease is not None
        for number, batch_size in enumerate((100, 200), start=1):
            fitting.learn(number, parameters=BASE | {"batch_size": batch_size}, peak_bytes=batch_size * GIB // 100)
        parameters = BASE | {"batch_size": 150}
        refused.append(fitting.reason_not_to_launch(3, parameters=parameters, lease=lease) is not None)
    assert refused == [False, True]
