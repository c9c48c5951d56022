import re

import pytest

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.search.resolve import resolve_space
from autotune.spec.load import parse_spec
from tests.machines import machine

HEAD = "task: a:B\nobjective: {metric: a, direction: minimize}\nbudget: {trials: 30}\n"


def baseline(text: str, *, on: Machine | None = None) -> dict[str, Scalar]:
    learning = (
        "learning:\n  optimizer: {choices: [sgd, adam, muon]}\n  lr: {low: 0, high: 1}\n"
        "  momentum: {low: 0.0, high: 0.9}\n  width: {low: 8, high: 32, step: 8}\n  deep: {choices: [true, false]}\n"
        "  heads: 4\n  batch_size: {choices: [32, 48]}\n"
        "speed:\n  num_workers: {low: 0, high: auto}\n  prefetch_factor: {choices: [2, 4]}\n"
        "  precision: {choices: [fp32, bf16, fp16]}\n  optimizer_impl: {choices: [for_loop, foreach, fused]}\n"
        "  accumulate: {choices: [1, 3, 16]}\n  pin_memory: {choices: [false, true]}\n"
        "  cache: {choices: [off, memory]}\n  device_prefetch: {choices: [false, true]}\n"
    )
    file = parse_spec(f"{HEAD}{learning}baseline: {{{text}}}\n", origin="s.yaml")
    return dict(resolve_space(file, machine=on or machine(), num_cores=4).baseline)


def test_the_baseline_is_in_the_order_of_the_space() -> None:
    found = baseline("precision: fp32, lr: 1, optimizer: adam")
    assert list(found.items()) == [("optimizer", "adam"), ("lr", 1.0), ("precision", "fp32")]


def test_the_baseline_may_name_what_is_fixed_and_what_is_auto() -> None:
    assert baseline("heads: 4, num_workers: auto") == {"num_workers": 4}


def test_the_baseline_loses_what_the_machine_lacks() -> None:
    assert baseline("pin_memory: true, precision: bf16") == {"precision": "bf16"}
    assert baseline("precision: fp16, lr: 0.5") == {"lr": 0.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 2", "baseline.lr: must lie in the range of learning.lr, 0.0 to 1.0, got 2; move it inside, or widen"),
        ("lr: fast", "baseline.lr: must lie in the range of learning.lr, 0.0 to 1.0, got fast; move it inside,"),
        ("lr: true", "baseline.lr: must lie in the range of learning.lr, 0.0 to 1.0, got true; move it inside,"),
        ("width: 12", "baseline.width: must lie a whole number of steps of 8 above 8, got 12; move it to a step"),
        ("width: 16.5", "baseline.width: must be a whole number, got 16.5; move it inside"),
        ("num_workers: 9", "baseline.num_workers: must lie in the range of speed.num_workers, 0 to 4, got 9; move"),
        (
            "optimizer: rmsprop",
            "baseline.optimizer: must be one of sgd, adam, muon, got rmsprop; add it to the choices",
        ),
        ("deep: 1", "baseline.deep: must be one of true, false, got 1; add it to the choices of learning.deep"),
        ("heads: 8", "baseline.heads: heads is fixed to 4, got 8; write 4, or remove it here"),
        (
            "nesterov: true",
            "baseline.nesterov: must name a parameter of this spec, got nesterov; add nesterov: true to learning",
        ),
        ("widht: 8", "baseline.widht: must name a parameter of this spec, got widht; did you mean width?"),
        (
            "optimizer: adam, momentum: 0.9",
            "baseline.momentum: momentum is active only with optimizer sgd or muon, got optimizer=adam; remove",
        ),
        (
            "momentum: 0.9",
            "baseline.momentum: momentum is active only with optimizer sgd or muon, got no optimizer in the baseline;",
        ),
        (
            "prefetch_factor: 2",
            "baseline.prefetch_factor: prefetch_factor is active only with num_workers above 0, got num_workers=0;",
        ),
        (
            "optimizer: muon, optimizer_impl: fused",
            "baseline.optimizer_impl: must go together with optimizer=muon, got fused; change one of the two",
        ),
        (
            "batch_size: 48, accumulate: 32",
            "baseline.accumulate: must be one of 1, 3, 16, got 32; add it",
        ),
        (
            "batch_size: 32, accumulate: 3",
            "baseline.accumulate: must go together with batch_size=32, got 3; change one of the two",
        ),
        (
            "num_workers: 2, cache: memory",
            "baseline.cache: must go together with num_workers=2, got memory; change one of the two",
        ),
        (
            "device_prefetch: true",
            "baseline.device_prefetch: must go together with pin_memory=false, got true; change one of the two",
        ),
    ],
)
def test_a_baseline_outside_the_space_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(f's.yaml:21: {message}')}"):
        baseline(text)


def test_a_baseline_whose_optimizer_torch_lacks_is_refused() -> None:
    with pytest.raises(SpecError, match=r"baseline\.optimizer: must be there in this torch, got muon; choose another"):
        baseline("optimizer: muon", on=machine(has_muon=False))
