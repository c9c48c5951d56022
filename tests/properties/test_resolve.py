"""Whatever a spec searches, a walk over its resolved space never meets a combination that can't be trained with."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autotune.events import Scalar
from autotune.search.resolve import resolve_space
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.spec.load import parse_spec
from autotune.spec.optimizers import OPTIMIZERS
from autotune.speed.knobs import KNOBS
from tests.machines import machine

ARGUMENTS = {
    "momentum": ["{low: 0.0, high: 0.9}", "0.9", "{choices: [0.0, 0.5]}"],
    "dampening": ["{low: 0.0, high: 0.5}", "0.5", "{choices: [0, 0.5]}"],
    "nesterov": ["{choices: [false, true]}", "true"],
    "beta1": ["{low: 0.8, high: 0.99}"],
    "batch_size": ["{choices: [16, 24, 30]}", "{low: 1, high: 64}", "7"],
    "schedule": ["{choices: [cosine, step]}", "constant"],
    "schedule_gamma": ["{low: 0.1, high: 0.9}"],
}
SPEED = {
    "num_workers": ["{low: 0, high: auto}", "0", "2", "{choices: [0, 2]}"],
    "prefetch_factor": ["{choices: [2, 4]}", "{low: 1, high: 4}", "2"],
    "persistent_workers": ["{choices: [false, true]}", "true"],
    "pin_memory": ["{choices: [false, true]}", "true"],
    "precision": ["{choices: [fp32, bf16, fp16]}", "fp16"],
    "compile": ["{choices: [off, default, reduce-overhead]}", "reduce-overhead"],
    "optimizer_impl": ["{choices: [for_loop, foreach, fused]}", "{choices: [foreach, fused]}", "fused"],
    "accumulate": ["{choices: [1, 2, 3]}", "{low: 2, high: 5}", "4"],
    "cudnn_benchmark": ["{choices: [false, true]}"],
    "cudnn_benchmark_limit": ["{low: 0, high: 20}"],
    "cache": ["{choices: [off, memory, device]}", "{choices: [memory, device]}", "memory"],
    "device_prefetch": ["{choices: [false, true]}", "true"],
    "fp32_precision_matmul": ["{choices: [ieee, tf32, bf16]}"],
    "sdpa_backend": ["{choices: [auto, math, flash, cudnn]}"],
}


@st.composite
def specs(draw: st.DrawFn) -> str:
    optimizers = draw(st.lists(st.sampled_from(sorted(OPTIMIZERS)), min_size=1, max_size=4, unique=True))
    learning = {"width": "{low: 8, high: 32}", "optimizer": f"{{choices: [{', '.join(optimizers)}]}}"}
    learning |= {name: draw(st.sampled_from(texts)) for name, texts in ARGUMENTS.items() if draw(st.booleans())}
    speed = {name: draw(st.sampled_from(texts)) for name, texts in SPEED.items() if draw(st.booleans())}
    order = draw(st.permutations(list(learning)))
    lines = ["task: a:B", "objective: {metric: a, direction: minimize}", "budget: {trials: 3}"]
    lines += ["learning:", *(f"  {name}: {learning[name]}" for name in order)]
    lines += ["speed:", *(f"  {name}: {speed[name]}" for name in draw(st.permutations(list(speed))))]
    return "\n".join(lines)


def walk(space: SearchSpace, data: st.DataObject) -> dict[str, Scalar]:
    chosen = dict(space.fixed)
    for parameter in space.parameters:
        if space.is_active(parameter, chosen):
            chosen[parameter.name] = data.draw(values(parameter, chosen), label=parameter.name)
    return chosen


def values(parameter: SpaceParameter, chosen: dict[str, Scalar]) -> st.SearchStrategy[Scalar]:
    if parameter.type == "choices":
        return st.sampled_from(parameter.legal_choices(chosen))
    assert parameter.low is not None
    assert parameter.high is not None
    if parameter.type == "int":
        return st.integers(int(parameter.low), int(parameter.high))
    return st.floats(float(parameter.low), float(parameter.high))


@pytest.mark.slow
@settings(max_examples=200)
@given(text=specs(), data=st.data(), num_gpus=st.integers(0, 1), num_cores=st.integers(1, 4))
def test_every_walk_is_a_combination_that_can_be_trained_with(
    text: str, data: st.DataObject, num_gpus: int, num_cores: int
) -> None:
    here = machine(num_gpus=num_gpus)
    space = resolve_space(parse_spec(text, origin="s.yaml"), machine=here, num_cores=num_cores)
    chosen = walk(space, data)
    facts = OPTIMIZERS[str(chosen["optimizer"])]

    assert chosen.get("optimizer_impl", "for_loop") in facts.implementations
    assert chosen.keys() & {"momentum", "dampening", "nesterov", "beta1"} <= set(facts.arguments)
    if chosen.get("nesterov") and facts.name == "sgd":
        assert chosen["momentum"]
        assert not chosen.get("dampening", 0)
    if chosen.keys() & {"prefetch_factor", "persistent_workers"}:
        assert chosen["num_workers"]
    if chosen.get("cache", "off") != "off":
        assert not chosen.get("num_workers", 0)
    if chosen.get("device_prefetch"):
        assert chosen["pin_memory"]
    if "accumulate" in chosen and "batch_size" in chosen:
        batch_size, accumulate = chosen["batch_size"], chosen["accumulate"]
        assert isinstance(batch_size, int)
        assert isinstance(accumulate, int)
        assert batch_size % accumulate == 0
    assert "schedule_gamma" not in chosen or chosen.get("schedule", "step") == "step"
    for name in chosen.keys() & KNOBS.keys():
        assert KNOBS[name].applies(here) is None
        assert KNOBS[name].choice_applies(chosen[name], here) is None


@pytest.mark.slow
@settings(max_examples=200)
@given(text=specs(), num_gpus=st.integers(0, 1))
def test_every_parameter_of_a_spec_is_searched_fixed_or_left_out_with_a_reason(text: str, num_gpus: int) -> None:
    file = parse_spec(text, origin="s.yaml", overrides=("speed_search=joint",))
    space = resolve_space(file, machine=machine(num_gpus=num_gpus), num_cores=4)
    searched = {parameter.name for parameter in space.parameters}
    reasons = {item.name for item in space.left_out if item.reason}
    assert not searched & space.fixed.keys()
    assert {*searched, *space.fixed, *reasons} == {*file.spec.learning, *file.spec.speed}


@pytest.mark.slow
@settings(max_examples=200)
@given(text=specs())
def test_every_parameter_stands_behind_those_that_it_waits_for(text: str) -> None:
    space = resolve_space(parse_spec(text, origin="s.yaml"), machine=machine(), num_cores=4)
    names = [parameter.name for parameter in space.parameters]
    for index, parameter in enumerate(space.parameters):
        waits = [*(c.parameter for c in parameter.conditions), *(r.parameter for r in parameter.requirements)]
        assert set(waits) <= set(names[:index])
