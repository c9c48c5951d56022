import pytest

from autotune.events import Scalar
from autotune.hardware import Accelerator, Machine
from autotune.speed.knobs import KNOBS
from tests.machines import machine

CPU = machine(has_bf16_cpu=False)


def with_torch(**facts: object) -> Machine:
    return CPU.model_copy(update={"torch": CPU.torch.model_copy(update=facts)})


def with_gpu(capability: tuple[int, int]) -> Machine:
    gpu = Accelerator(index=0, name="a GPU", memory_bytes=8 * 2**30, capability=capability)
    return with_torch(accelerators=(gpu,), cuda_version="13.0", cudnn_version=91_000)


AMPERE, TURING = with_gpu((8, 0)), with_gpu((7, 5))


def left_out(machine: Machine) -> set[str]:
    return {name for name, knob in KNOBS.items() if knob.applies(machine)}


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_has_choices_or_a_least_number_and_its_simplest_setting_is_one_of_them(name: str) -> None:
    knob = KNOBS[name]
    assert (knob.low is None) == bool(knob.choices)
    assert knob.simplest in (*knob.choices, *knob.words) or (knob.low is not None and isinstance(knob.simplest, int))
    assert knob.docs.startswith("https://docs.pytorch.org/")


@pytest.mark.parametrize("name", KNOBS)
@pytest.mark.parametrize("machine", [CPU, AMPERE], ids=["cpu", "gpu"])
def test_the_simplest_setting_applies_everywhere(name: str, machine: Machine) -> None:
    assert KNOBS[name].choice_applies(KNOBS[name].simplest, machine) is None


DDP = {"ddp_bucket_cap_mb", "ddp_gradient_as_bucket_view", "ddp_static_graph"}
CUDNN_FLAGS = {"cudnn_benchmark", "cudnn_benchmark_limit", "cudnn_deterministic"}
SHORT_FLOATS = {
    "float32_matmul_precision",
    "fp32_precision_matmul",
    "fp32_precision_conv",
    "fp32_precision_rnn",
}


def choices_left_out(name: str, machine: Machine) -> set[Scalar]:
    knob = KNOBS[name]
    return {choice for choice in knob.choices if knob.choice_applies(choice, machine)}


def test_a_modern_gpu_has_every_knob() -> None:
    siblings = AMPERE.model_copy(update={"num_physical_cores": 2})
    assert left_out(siblings) == DDP


def test_a_cpu_leaves_out_what_acts_on_a_gpu() -> None:
    assert left_out(CPU) == {
        "pin_memory",
        "device_prefetch",
        "cpu_affinity",
        "cuda_allocator",
        "cuda_graph",
        *CUDNN_FLAGS,
        *SHORT_FLOATS,
        *DDP,
    }


def test_a_cpu_with_amx_runs_float32_in_bf16_and_in_no_tf32() -> None:
    amx = with_torch(has_amx_bf16=True)
    assert SHORT_FLOATS & left_out(amx) == {"float32_matmul_precision"}
    assert choices_left_out("fp32_precision_matmul", amx) == {"tf32"}


def test_an_older_gpu_has_no_tf32() -> None:
    assert left_out(TURING) - left_out(AMPERE) == SHORT_FLOATS


def test_a_gpu_without_cudnn_leaves_out_its_flags() -> None:
    without = AMPERE.model_copy(update={"torch": AMPERE.torch.model_copy(update={"cudnn_version": None})})
    assert left_out(without) - left_out(AMPERE) == CUDNN_FLAGS


@pytest.mark.parametrize(
    ("name", "machine", "expected"),
    [
        ("sdpa_backend", CPU, {"mem_efficient", "cudnn"}),
        ("sdpa_backend", TURING, {"flash", "cudnn"}),
        ("sdpa_backend", AMPERE, set()),
        ("cache", CPU, {"device"}),
        ("cache", AMPERE, set()),
        ("fp32_precision_matmul", AMPERE, {"bf16"}),
        ("fp32_precision_conv", AMPERE, {"bf16"}),
        ("worker_start_method", CPU, set()),
        ("allocator", CPU, {"retain", "jemalloc", "tcmalloc"}),
        ("allocator", CPU.model_copy(update={"allocators": ("glibc", "jemalloc")}), {"tcmalloc"}),
    ],
)
def test_choices_that_the_machine_lacks_are_left_out(name: str, machine: Machine, expected: set[str]) -> None:
    assert choices_left_out(name, machine) == expected


@pytest.mark.parametrize("name", KNOBS)
def test_what_a_knob_names_is_another_knob_with_such_values(name: str) -> None:
    knob = KNOBS[name]
    named = {knob.needs_positive, knob.excludes, *(companion.knob for companion in knob.companions)} - {None}
    assert named <= KNOBS.keys() - {name}
    for companion in knob.companions:
        assert companion.choice in knob.choices
        assert companion.choice != knob.simplest
        assert not KNOBS[companion.knob].choices or set(companion.values) <= set(KNOBS[companion.knob].choices)


def test_two_names_of_one_thing_exclude_each_other_and_one_of_them_is_raced() -> None:
    pairs = {frozenset({knob.name, knob.excludes}) for knob in KNOBS.values() if knob.excludes}
    assert pairs == {frozenset({"float32_matmul_precision", "fp32_precision_matmul"})}
    assert not KNOBS["float32_matmul_precision"].is_raced
    assert KNOBS["fp32_precision_matmul"].is_raced


@pytest.mark.parametrize(
    ("num_gpus", "why"),
    [
        (0, "and trials run on the CPU here"),
        (1, "and trials have one device here"),
        (8, "; there are 8 devices here, of which a trial has one: no trial trains on several yet"),
    ],
)
@pytest.mark.parametrize("name", sorted(DDP))
def test_what_acts_between_devices_is_out_for_a_reason_that_is_true_of_the_machine(
    name: str, num_gpus: int, why: str
) -> None:
    reason = KNOBS[name].applies(machine(num_gpus=num_gpus))
    assert reason is not None
    assert reason.startswith("it acts between the devices of one training")
    assert reason.endswith(why)


def test_a_machine_without_a_compiler_leaves_out_compile() -> None:
    assert "compile" in left_out(with_torch(has_compiler=False))


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (CPU, {"bf16", "fp16"}),
        (with_torch(has_bf16_cpu=True), {"fp16"}),
        (with_torch(has_bf16_cpu=True, has_fp16_cpu=True), set()),
        (TURING, {"bf16"}),
        (AMPERE, set()),
    ],
    ids=["cpu", "cpu with bf16", "cpu with both", "older gpu", "gpu"],
)
def test_precisions_that_the_device_lacks_are_left_out(machine: Machine, expected: set[str]) -> None:
    knob = KNOBS["precision"]
    assert {choice for choice in knob.choices if knob.choice_applies(choice, machine)} == expected


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        (CPU, {"reduce-overhead"}),
        (AMPERE, set()),
        (with_torch(compile_modes=("default",)), {"reduce-overhead", "max-autotune"}),
    ],
    ids=["cpu", "gpu", "one mode"],
)
def test_compile_modes_that_torch_lacks_are_left_out(machine: Machine, expected: set[str]) -> None:
    knob = KNOBS["compile"]
    assert {choice for choice in knob.choices if knob.choice_applies(choice, machine)} == expected


def test_knob_of_the_host_moves_the_input_alone_beside_a_gpu() -> None:
    threads = KNOBS["torch_threads"]
    assert threads.on(AMPERE).moves == ("input",)
    assert threads.on(CPU).moves == ("input", "launch", "compute")
    assert KNOBS["num_workers"].on(AMPERE) == KNOBS["num_workers"]
