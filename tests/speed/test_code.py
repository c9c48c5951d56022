import ast

import pytest

from autotune.events import Scalar
from autotune.speed.code import code_lines
from autotune.speed.knobs import KNOBS


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


def test_micro_batches_that_memory_decides_are_said_so() -> None:
    assert lines(accumulate="auto") == "# cut each batch into as few micro-batches as fit and add their gradients up"


def test_a_tasks_own_knob_is_named_and_left_to_the_task() -> None:
    assert lines(decoder="turbo") == "# decoder = 'turbo': your task reads it"


@pytest.mark.parametrize("name", [name for name, knob in KNOBS.items() if knob.is_raced])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_no_knob_that_is_raced_is_taken_for_a_tasks_own(name: str, device: str) -> None:
    knob = KNOBS[name]
    for value in knob.choices or (knob.low,):
        assert all("your task reads it" not in line for line in code_lines({name: value}, device=device))


@pytest.mark.parametrize("name", list(KNOBS))
def test_every_line_is_python(name: str) -> None:
    knob = KNOBS[name]
    for value in knob.choices or (knob.low,):
        for line in code_lines({name: value}, device="cuda"):
            ast.parse(f"{line}\n    pass" if line.partition("  #")[0].endswith(":") else line)
