import ast
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
from typing_extensions import override

from autotune.events import Scalar
from autotune.hardware import physical_cores, usable_cores
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.code import code_lines


def lines(**setting: Scalar) -> str:
    return "\n".join(code_lines(setting, device="cuda"))


def test_knobs_become_the_lines_that_set_them() -> None:
    code = lines(num_workers=4, pin_memory=True, cudnn_benchmark=True, torch_threads=2, optimizer_impl="fused")
    assert "num_workers=4, pin_memory=True" in code
    assert "torch.backends.cudnn.benchmark = True" in code
    assert "torch.set_num_threads(2)" in code
    assert "fused=True" in code


def test_matrix_products_are_set_by_the_call_that_leaves_torchs_getters_whole() -> None:
    assert lines(fp32_precision_matmul="tf32") == 'torch.set_float32_matmul_precision("high")'


class Part:
    """A tensor of a batch that tells what is done with it."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self._told = told

    def to(self, device: str, *, non_blocking: bool) -> "Part":
        assert non_blocking
        self._told.append(f"copy {self.name} to {device}")
        return self

    def record_stream(self, stream: "Stream") -> None:
        self._told.append(f"keep {self.name} for {stream.name}")


class Stream:
    """A stream of no device."""

    def __init__(self, name: str = "the copies") -> None:
        self.name = name

    def wait_stream(self, stream: "Stream") -> None:
        assert stream.name != self.name


def test_pinned_memory_comes_with_the_copy_that_gains_by_it() -> None:
    """A copy that is waited for gains next to nothing."""
    *_, copy = code_lines({"pin_memory": True}, device="cuda")
    told: list[str] = []
    exec(copy, {"batch": (Part("inputs", told), Part("targets", told)), "device": "cuda"})
    assert told == ["copy inputs to cuda", "copy targets to cuda"]
    assert "non_blocking" not in lines(pin_memory=False)


@pytest.mark.parametrize("num_batches", [0, 1, 3])
def test_lines_that_prefetch_copy_each_batch_before_the_one_ahead_of_it_trains(num_batches: int) -> None:
    """They made a stream, and left to a comment what is done on it."""
    told: list[str] = []
    cuda = SimpleNamespace(Stream=Stream, stream=nullcontext, current_stream=lambda: Stream("the step"))
    names: dict[str, Any] = {"torch": SimpleNamespace(cuda=cuda), "device": "cuda"}
    exec(lines(device_prefetch=True), names)
    for (part,) in names["copied_ahead"]([Part(str(number), told)] for number in range(num_batches)):
        told.append(f"train {part.name}")
    copies = [told.index(f"copy {number} to cuda") for number in range(num_batches)]
    steps = [told.index(f"train {number}") for number in range(num_batches)]
    assert all(copied < trained for copied, trained in zip(copies[1:], steps, strict=False))
    assert all(told.index(f"keep {number} for the step") < steps[number] for number in range(num_batches))
    assert len(told) == 3 * num_batches


def test_what_is_prefetched_is_copied_nowhere_else() -> None:
    assert lines(pin_memory=True, device_prefetch=True).count("batch = [") == 1


def test_micro_batches_that_memory_decides_are_said_so() -> None:
    assert lines(accumulate="auto") == "# cut each batch into as few micro-batches as fit and add their gradients up"


def test_a_tasks_own_knob_is_named_and_left_to_the_task() -> None:
    assert lines(decoder="turbo") == "# decoder = 'turbo': your task reads it"


def test_only_what_is_new_becomes_a_line() -> None:
    before: dict[str, Scalar] = {"torch_threads": 2, "cudnn_benchmark": False}
    code = code_lines({"torch_threads": 2, "cudnn_benchmark": True}, device="cuda", before=before)
    assert code == ("torch.backends.cudnn.benchmark = True",)


@pytest.mark.parametrize(
    ("name", "value"), [("prefetch_factor", 4), ("persistent_workers", True), ("worker_start_method", "spawn")]
)
def test_loader_has_the_workers_that_a_new_argument_needs(name: str, value: Scalar) -> None:
    [line] = code_lines({"num_workers": 2, name: value}, device="cpu", before={"num_workers": 2})
    names: dict[str, object] = {"DataLoader": DataLoader, "dataset": TensorDataset(torch.zeros(4)), "batch_size": 2}
    exec(line, names)
    loader = names["loader"]
    assert isinstance(loader, DataLoader)
    assert loader.num_workers == 2


def test_an_allocator_is_preloaded_from_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libjemalloc.so.2"
    library.touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert lines(allocator="jemalloc") == f"# LD_PRELOAD={library} python train.py"


@pytest.fixture
def attention() -> Iterator[dict[str, Callable[[], bool]]]:
    """Whether each implementation may run; as before at the end."""
    names = ("flash", "mem_efficient", "math", "cudnn")
    may_run = {name: getattr(torch.backends.cuda, f"{name}_sdp_enabled") for name in names}
    before = {name: is_enabled() for name, is_enabled in may_run.items()}
    yield may_run
    for name, is_enabled in before.items():
        getattr(torch.backends.cuda, f"enable_{name}_sdp")(is_enabled)


@pytest.mark.parametrize("before", ["flash", "mem_efficient", "math", "cudnn"])
@pytest.mark.parametrize("backend", ["flash", "mem_efficient", "math", "cudnn"])
def test_attention_is_left_with_the_chosen_implementation_whatever_a_script_had(
    backend: str, before: str, attention: dict[str, Callable[[], bool]]
) -> None:
    """A script that had another one alone was left with none."""
    for name in (before, backend):
        exec(lines(sdpa_backend=name), {"torch": torch})
    assert {name for name, may_run in attention.items() if may_run()} == {backend}


class Squares(Dataset[int]):
    """Samples that are made, so that no index is too large."""

    def __len__(self) -> int:
        return 3

    @override
    def __getitem__(self, index: int) -> int:
        assert index < 10, "as a list is made, this has no end"
        return index**2


@pytest.mark.parametrize(("place", "name"), [("memory", "dataset"), ("device", "data")])
def test_a_cache_holds_as_many_samples_as_the_dataset_says_it_has(place: str, name: str) -> None:
    names: dict[str, object] = {"dataset": Squares(), "default_collate": list, "device": "cpu"}
    exec(code_lines({"cache": place}, device="cuda")[0], names)
    assert names[name] == [0, 1, 4]


@pytest.mark.usefixtures("fresh_compiler")
def test_the_line_that_compiles_compiles_a_sequence_of_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[object] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        del inputs
        graphs.append(graph)
        return graph

    compiling = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **_: compiling(model, backend=backend))
    names: dict[str, Any] = {"torch": torch, "model": torch.nn.Sequential(torch.nn.Linear(2, 1))}
    exec("\n".join(code_lines({"compile": "default"}, device="cpu")), names)
    names["model"](torch.zeros(1, 2))
    assert graphs


def test_the_optimizer_of_a_recorded_step_has_on_the_device_what_changes() -> None:
    names: dict[str, Any] = {"torch": torch, "model": torch.nn.Linear(1, 1), "lr": 0.1, "device": "cpu"}
    for knobs in ({}, {"optimizer_impl": "foreach"}):
        first, *_ = code_lines({"cuda_graph": True, **knobs}, device="cuda")
        exec(first, names)
        [group] = names["optimizer"].param_groups
        assert group["capturable"] is True
        assert isinstance(group["lr"], torch.Tensor)


def test_every_loader_line_makes_a_loader() -> None:
    values: dict[str, tuple[Scalar, ...]] = {
        "num_workers": (0, 2),
        "prefetch_factor": (2, 4),
        "persistent_workers": (False, True),
        "in_order": (True, False),
        "worker_start_method": ("fork", "forkserver", "spawn"),
    }
    for chosen in product(*values.values()):
        [line] = code_lines(dict(zip(values, chosen, strict=True)), device="cpu")
        names: dict[str, Any] = {"DataLoader": DataLoader, "dataset": TensorDataset(torch.zeros(4)), "batch_size": 2}
        exec(line, names)
        assert names["loader"].num_workers == chosen[0]


def test_what_a_script_has_too_much_is_said() -> None:
    code = code_lines({"compile": "off"}, device="cpu", before={"compile": "default"})
    assert code == ("# compile = 'off': take out what sets compile to 'default'",)
    assert code_lines({"compile": "off"}, device="cpu") == ()


@pytest.mark.skipif(not physical_cores(usable_cores()), reason="the system tells nothing of physical cores")
def test_lines_of_the_affinity_leave_one_logical_core_of_each_physical_one() -> None:
    cores = usable_cores()
    try:
        exec(lines(cpu_affinity="physical"), {})
        left = usable_cores()
    finally:
        os.sched_setaffinity(0, cores)
    assert len(left) == len(physical_cores(cores))
    assert len(physical_cores(left)) == len(left)


@pytest.mark.parametrize("name", [name for name, knob in KNOBS.items() if knob.is_raced])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_knob_that_is_raced_is_taken_for_a_tasks_own(name: str, device: str) -> None:
    knob = KNOBS[name]
    for value in knob.choices or (knob.low,):
        assert all("your task reads it" not in line for line in code_lines({name: value}, device=device))


@pytest.mark.parametrize("name", list(KNOBS))
def test_the_lines_of_every_knob_are_python(name: str) -> None:
    knob = KNOBS[name]
    for value in knob.choices or (knob.low,):
        ast.parse("\n".join(code_lines({name: value}, device="cuda")))


def test_the_lines_of_many_knobs_together_are_python() -> None:
    """The one that opens autocast had no body, and the next line was read as one."""
    ast.parse(lines(precision="bf16", pin_memory=True, device_prefetch=True, cuda_graph=True, accumulate=2))
