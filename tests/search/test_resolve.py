import re

import pytest

from autotune.errors import SpecError
from autotune.hardware import Machine
from autotune.search.resolve import resolve_space
from autotune.search.space import Condition, Requirement, SearchSpace
from autotune.spec.builtin import list_spaces
from autotune.spec.load import load_spec, parse_spec
from tests.machines import machine

HEAD = "task: a:B\nobjective: {metric: a, direction: minimize}\nbudget: {trials: 30}\n"
ALWAYS = "  always: {low: 0, high: 1}\n"


def resolve(
    text: str, *, on: Machine | None = None, num_cores: int = 4, overrides: tuple[str, ...] = ()
) -> SearchSpace:
    # A spec without a speed section would get every knob that a race tries.
    file = parse_spec(HEAD + text, origin="s.yaml", overrides=("speed_search=joint", *overrides))
    return resolve_space(file, machine=on or machine(), num_cores=num_cores)


def resolve_learning(text: str, *, on: Machine | None = None) -> SearchSpace:
    return resolve(f"learning:\n{ALWAYS}{text}", on=on)


def resolve_speed(text: str, *, on: Machine | None = None, num_cores: int = 4, learning: str = "") -> SearchSpace:
    return resolve(f"learning:\n{ALWAYS}{learning}speed:\n{text}", on=on, num_cores=num_cores)


def conditions(space: SearchSpace) -> dict[str, tuple[Condition, ...]]:
    return {parameter.name: parameter.conditions for parameter in space.parameters if parameter.conditions}


def reasons(space: SearchSpace) -> dict[str, str]:
    return {item.name: item.reason for item in space.left_out}


def test_auto_is_the_cores_of_a_trial() -> None:
    space = resolve_speed("  num_workers: {low: 0, high: auto}\n  torch_threads: auto\n", num_cores=3)
    assert [(p.low, p.high) for p in space.parameters if p.name == "num_workers"] == [(0, 3)]
    assert space.fixed == {"torch_threads": 3}


def test_a_range_that_shrinks_to_one_value_is_fixed() -> None:
    assert resolve_speed("  torch_threads: {low: 1, high: auto}\n", num_cores=1).fixed == {"torch_threads": 1}


def test_auto_among_choices_is_no_second_time_the_same() -> None:
    space = resolve_speed("  num_workers: {choices: [0, 4, auto]}\n", num_cores=4)
    assert space.parameters[-1].choices == (0, 4)


def test_a_step_stays_a_step_below_auto() -> None:
    space = resolve_speed("  num_workers: {low: 0, high: auto, step: 2}\n", num_cores=5)
    assert space.parameters[-1].high == 4


def test_arguments_of_an_optimizer_go_with_those_that_take_them() -> None:
    space = resolve_learning(
        "  optimizer: {choices: [sgd, adam, rmsprop]}\n  lr: {low: 0.1, high: 1}\n  momentum: {low: 0.0, high: 0.9}\n"
        "  beta1: {low: 0.8, high: 0.9}\n  weight_decay: {low: 0.1, high: 1}\n"
    )
    assert conditions(space) == {
        "momentum": (Condition("optimizer", ("sgd", "rmsprop")),),
        "beta1": (Condition("optimizer", ("adam",)),),
    }


def test_a_fixed_argument_goes_with_those_that_take_it() -> None:
    space = resolve_learning("  optimizer: {choices: [sgd, adam]}\n  momentum: 0.9\n")
    assert "momentum" not in space.fixed
    assert space.parameters[-1].choices == (0.9,)
    assert space.parameters[-1].conditions == (Condition("optimizer", ("sgd",)),)


def test_an_argument_that_no_optimizer_takes_is_left_out() -> None:
    space = resolve_learning("  optimizer: adam\n  momentum: {low: 0.0, high: 0.9}\n")
    assert reasons(space) == {
        "momentum": "it needs optimizer to be sgd or rmsprop or muon, which never comes up here",
    }


def test_an_empty_when_says_that_a_parameter_is_always_active() -> None:
    space = resolve_learning("  optimizer: adam\n  momentum: {low: 0.0, high: 0.9, when: {}}\n")
    assert [parameter.name for parameter in space.parameters] == ["always", "momentum"]


def test_an_everyday_name_is_the_task_s_own_where_no_optimizer_takes_it() -> None:
    space = resolve_learning("  optimizer: adam\n  alpha: {low: 0.0, high: 0.9}\n")
    assert [parameter.name for parameter in space.parameters] == ["always", "alpha"]


def test_an_optimizer_of_one_s_own_is_taken_to_accept_every_argument() -> None:
    space = resolve_learning("  optimizer: {choices: [adam, 'lion:Lion']}\n  momentum: {low: 0.0, high: 0.9}\n")
    assert conditions(space) == {"momentum": (Condition("optimizer", ("lion:Lion",)),)}


def test_nesterov_goes_with_momentum() -> None:
    space = resolve_learning(
        "  nesterov: {choices: [false, true]}\n  optimizer: {choices: [sgd, adam]}\n"
        "  momentum: {low: 0.0, high: 0.9}\n  dampening: {choices: [0, 0.5]}\n"
    )
    nesterov = space.parameters[-1]
    assert nesterov.conditions == (Condition("optimizer", ("sgd",)), Condition("momentum", None))
    assert nesterov.requirements == (Requirement(choice=True, parameter="dampening", values=(0,)),)


def test_the_step_of_a_schedule_goes_with_the_step_schedule() -> None:
    space = resolve_learning("  schedule: {choices: [cosine, step]}\n  schedule_step: {low: 0.1, high: 0.5}\n")
    assert conditions(space) == {"schedule_step": (Condition("schedule", ("step",)),)}


def test_parents_stand_before_children_and_the_rest_as_written() -> None:
    space = resolve_learning(
        "  c: {low: 0, high: 9, when: {b: 2}}\n  a: {low: 0, high: 9}\n  b: {low: 0, high: 9, when: {a: 1}}\n"
    )
    assert [parameter.name for parameter in space.parameters] == ["always", "a", "b", "c"]


def test_a_condition_on_a_fixed_parent_is_decided_for_the_whole_study() -> None:
    space = resolve_learning(
        "  a: 1\n  b: {low: 0, high: 9, when: {a: 1}}\n  c: {low: 0, high: 9, when: {a: 2}}\n"
        "  d: {low: 0, high: 9, when: {c: 3}}\n"
    )
    assert [(parameter.name, parameter.conditions) for parameter in space.parameters] == [("always", ()), ("b", ())]
    assert reasons(space) == {
        "c": "it needs a to be 2, which never comes up here",
        "d": "it needs c to be 3, which never comes up here",
    }


def test_a_condition_that_always_holds_is_none() -> None:
    space = resolve_learning("  a: {choices: [x, y]}\n  b: {low: 0, high: 9, when: {a: [x, y]}}\n")
    assert conditions(space) == {}


def test_a_condition_that_always_holds_stays_while_its_parent_has_one() -> None:
    space = resolve_learning(
        "  a: {choices: [x, y]}\n  b: {choices: [u, v], when: {a: x}}\n  c: {low: 0, high: 9, when: {b: [u, v]}}\n"
    )
    assert conditions(space)["c"] == (Condition("b", ("u", "v")),)


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ("  num_workers: {low: 0, high: auto}\n", (Condition("num_workers", None),)),
        ("  num_workers: {choices: [0, 2, 4]}\n", (Condition("num_workers", (2, 4)),)),
        ("  num_workers: {low: 1, high: 2}\n", ()),
        ("  num_workers: 2\n", ()),
    ],
)
def test_prefetching_goes_with_workers(workers: str, expected: tuple[Condition, ...]) -> None:
    space = resolve_speed(f"{workers}  prefetch_factor: {{choices: [2, 4]}}\n")
    assert space.parameters[-1].name == "prefetch_factor"
    assert space.parameters[-1].conditions == expected


@pytest.mark.parametrize("workers", ["", "  num_workers: 0\n"])
def test_prefetching_without_workers_is_left_out(workers: str) -> None:
    space = resolve_speed(
        f"{workers}  prefetch_factor: {{choices: [2, 4]}}\n  channels_last: {{choices: [false, true]}}\n"
    )
    assert reasons(space) == {"prefetch_factor": "it needs num_workers above 0, which never comes up here"}


def test_implementations_that_an_optimizer_lacks_are_illegal_beside_it() -> None:
    space = resolve_speed(
        "  optimizer_impl: {choices: [for_loop, foreach, fused]}\n",
        learning="  optimizer: {choices: [sgd, rmsprop, muon]}\n",
    )
    legal = space.parameters[-1].legal_choices
    assert legal({"optimizer": "sgd"}) == ("for_loop", "foreach", "fused")
    assert legal({"optimizer": "rmsprop"}) == ("for_loop", "foreach")
    assert legal({"optimizer": "muon"}) == ("for_loop",)


def test_an_implementation_that_no_optimizer_has_is_left_out() -> None:
    space = resolve_speed("  optimizer_impl: {choices: [for_loop, fused]}\n", learning="  optimizer: rmsprop\n")
    assert space.fixed == {"optimizer": "rmsprop", "optimizer_impl": "for_loop"}
    assert reasons(space) == {"optimizer_impl": "fused: it needs optimizer to be another"}


def test_micro_batches_that_divide_no_batch_are_left_out() -> None:
    space = resolve_speed("  accumulate: {low: 1, high: 5}\n", learning="  batch_size: {choices: [6, 8]}\n")
    accumulate = space.parameters[-1]
    assert accumulate.choices == (1, 2, 3, 4)
    assert accumulate.requirements == (Requirement(3, "batch_size", divisor=3), Requirement(4, "batch_size", divisor=4))
    assert reasons(space) == {"accumulate": "5: it needs a batch_size that 5 divides"}


def test_muon_is_left_out_where_torch_lacks_it() -> None:
    space = resolve_learning("  optimizer: {choices: [sgd, muon]}\n", on=machine(has_muon=False))
    assert space.fixed == {"optimizer": "sgd"}
    assert reasons(space) == {"optimizer": "muon: torch 2.13.0 has no Muon"}


def test_a_study_of_an_optimizer_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match=r"s\.yaml:6: learning\.optimizer: something must be left .* has no Muon\);"):
        resolve_learning("  optimizer: muon\n", on=machine(has_muon=False))


@pytest.mark.parametrize("device", ["cpu", "cuda:7"])
def test_the_device_of_the_study_decides_which_knobs_apply(device: str) -> None:
    text = f"device: {device}\nlearning:\n{ALWAYS}speed: {{cudnn_benchmark: {{choices: [false, true]}}}}\n"
    assert "cudnn_benchmark" in reasons(resolve(text, on=machine(num_gpus=2)))


def test_every_space_that_comes_along_leaves_nothing_out_on_a_gpu() -> None:
    on = machine(num_gpus=1).model_copy(update={"allocators": ("glibc",)})
    for name in list_spaces():
        assert resolve_space(load_spec(name), machine=on, num_cores=4).left_out == ()


@pytest.mark.parametrize("num_cores", [1, 2, 64])
@pytest.mark.parametrize("name", list_spaces())
def test_every_space_that_comes_along_resolves_on_a_cpu(name: str, num_cores: int) -> None:
    space = resolve_space(load_spec(name), machine=machine(has_compiler=False), num_cores=num_cores)
    assert len(space.parameters) > 5
    assert space.baseline["width"]


CACHE = "  cache: {choices: [off, memory, device]}\n"


def test_a_cache_is_proposed_where_there_are_no_workers() -> None:
    space = resolve_speed(f"{CACHE}  num_workers: {{low: 0, high: 2}}\n", on=machine(num_gpus=1))
    cache = space.parameters[-1]
    assert cache.name == "cache"
    assert cache.legal_choices({"num_workers": 0}) == ("off", "memory", "device")
    assert cache.legal_choices({"num_workers": 1}) == ("off",)


def test_a_cache_needs_no_mention_of_workers() -> None:
    space = resolve_speed(CACHE)
    assert (space.parameters[-1].choices, space.parameters[-1].requirements) == (("off", "memory"), ())


def test_a_cache_beside_workers_that_are_always_there_is_left_out_with_its_reason() -> None:
    space = resolve_speed(f"{CACHE}  num_workers: 2\n")
    assert space.fixed == {"num_workers": 2, "cache": "off"}
    assert reasons(space)["cache"] == "memory: it needs num_workers to be 0"


def test_a_step_is_recorded_beside_the_graphs_and_the_digits_that_let_it() -> None:
    text = (
        "  cuda_graph: {choices: [false, true]}\n"
        '  compile: {choices: ["off", default, reduce-overhead]}\n'
        "  precision: {choices: [fp32, bf16, fp16]}\n"
    )
    on = machine(num_gpus=1, compile_modes=("default", "reduce-overhead"))
    graph = resolve_speed(text, on=on).parameters[-1]
    assert graph.name == "cuda_graph"  # proposed when what it depends on is known
    assert graph.legal_choices({"compile": "default", "precision": "bf16"}) == (False, True)
    assert graph.legal_choices({"compile": "reduce-overhead", "precision": "bf16"}) == (False,)
    assert graph.legal_choices({"compile": "off", "precision": "fp16"}) == (False,)
    assert resolve_speed("  cuda_graph: true\n", on=on).fixed == {"cuda_graph": True}


def test_prefetching_to_the_device_needs_pinned_memory_in_the_spec() -> None:
    prefetch = "  device_prefetch: {choices: [false, true]}\n"
    alone = resolve_speed(prefetch, on=machine(num_gpus=1))
    assert alone.fixed == {"device_prefetch": False}
    assert reasons(alone) == {"device_prefetch": "true: it needs pin_memory to be true"}
    both = resolve_speed(f"{prefetch}  pin_memory: {{choices: [false, true]}}\n", on=machine(num_gpus=1))
    assert both.parameters[-1].legal_choices({"pin_memory": False}) == (False,)
    assert both.parameters[-1].legal_choices({"pin_memory": True}) == (False, True)


def test_two_names_of_one_thing_are_refused() -> None:
    with pytest.raises(SpecError, match=r"speed\.float32_matmul_precision: only one of .* got both; remove fp32_prec"):
        resolve_speed("  float32_matmul_precision: high\n  fp32_precision_matmul: tf32\n", on=machine(num_gpus=1))


def test_accumulate_may_be_left_to_memory() -> None:
    assert resolve_speed("  accumulate: auto\n").fixed["accumulate"] == "auto"
    searched = resolve_speed("  accumulate: {choices: [auto, 2, 3]}\n", learning="  batch_size: {choices: [8, 16]}\n")
    assert searched.parameters[-1].choices == ("auto", 2)
    assert reasons(searched) == {"accumulate": "3: it needs a batch_size that 3 divides"}


def test_all_gpu_knobs_are_left_out_on_a_cpu_with_a_reason() -> None:
    space = resolve_space(load_spec("cudnn"), machine=machine(has_compiler=False), num_cores=2)
    without = {
        "pin_memory",
        "device_prefetch",
        "cudnn_benchmark",
        "cudnn_benchmark_limit",
        "cudnn_deterministic",
        "fp32_precision_matmul",
        "fp32_precision_conv",
        "compile",
        "cuda_graph",
    }
    in_part = {"precision", "cache"}
    assert set(reasons(space)) == without | in_part
    assert not without & set(space.baseline)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("  num_worker: 2\n", "s.yaml:7: speed.num_worker: must be a knob, got num_worker; did you mean num_workers?"),
        ("  zzz: 2\n", "s.yaml:7: speed.zzz: must be a knob, got zzz; the knobs are num_workers, prefetch_factor,"),
        ("  num_workers: -1\n", "s.yaml:7: speed.num_workers: must be at least 0, got -1; move it inside"),
        ("  num_workers: 9999\n", "s.yaml:7: speed.num_workers: must be at most 512, got 9999; move it inside"),
        (
            "  torch_threads: {low: 1, high: 9999}\n",
            "s.yaml:7: speed.torch_threads.high: must be at most 512, got 9999",
        ),
        ("  num_workers: {low: 0.5, high: 2}\n", "s.yaml:7: speed.num_workers: must be a range of whole numbers, got"),
        ("  precision: fp8\n", "s.yaml:7: speed.precision: must be one of fp32, bf16, fp16, got fp8; write one"),
        (
            "  compile: false\n",
            "s.yaml:7: speed.compile: must be one of 'off', default, reduce-overhead, max-autotune, got",
        ),
        (
            "  channels_last: {low: 0, high: 1}\n",
            "s.yaml:7: speed.channels_last: must be choices, not a range, got low",
        ),
        ("  accumulate: {low: 1, high: auto}\n", "s.yaml:7: speed.accumulate.high: auto stands for the cores"),
        ("  accumulate: often\n", "s.yaml:7: speed.accumulate: must be a number, got often; write digits"),
        (
            "  accumulate: {low: 1, high: 999}\n",
            "s.yaml:7: speed.accumulate: a range here has at most 256 values, got 999",
        ),
        (
            "  torch_threads: {low: 9, high: auto}\n",
            "s.yaml:7: speed.torch_threads: low must not be above high, got low=9",
        ),
    ],
)
def test_a_knob_that_can_not_be_so_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^{re.escape(message)}"):
        resolve_speed(text)


def test_a_knob_among_learning_parameters_is_sent_to_speed() -> None:
    with pytest.raises(
        SpecError, match=r"^s\.yaml:6: learning\.num_workers: a knob stands under speed, got num_workers;"
    ):
        resolve_learning("  num_workers: {low: 0, high: 2}\n")


def test_a_circle_with_a_condition_that_goes_without_saying_is_refused() -> None:
    text = "  optimizer: {choices: [sgd, adam], when: {momentum: 1}}\n  momentum: {low: 0, high: 1, type: int}\n"
    message = "s.yaml:6: learning.optimizer.when: conditions, with those that go without saying, must not form a circle"
    with pytest.raises(SpecError, match=re.escape(message)):
        resolve_learning(text)


def test_a_grid_over_floats_without_a_step_is_refused() -> None:
    text = f"sampler: grid\nlearning:\n{ALWAYS}  lr: {{low: 0.1, high: 1}}\n"
    message = "s.yaml:7: learning.lr: the grid sampler needs choices, or ranges with a step, got a range of floats"
    with pytest.raises(SpecError, match=re.escape(message)):
        resolve(text)


@pytest.mark.parametrize("learning", ["", "learning: {lr: 0.1}\n"])
def test_a_study_of_speed_knobs_of_which_none_is_left_is_refused(learning: str) -> None:
    """It blamed what is learned, which is fixed on purpose."""
    text = f"speed: {{pin_memory: {{choices: [false, true]}}}}\n{learning}"
    with pytest.raises(
        SpecError,
        match=r"^s\.yaml:4: speed: something must be left to search on this machine, got pin_memory left out "
        r"\(.*\); add a knob's choices that apply here, or search a parameter under learning$",
    ):
        resolve(text)
    assert resolve(text, on=machine(num_gpus=1)).parameters[0].name == "pin_memory"


def test_a_study_whose_learned_choices_are_one_is_told_to_add_choices() -> None:
    text = "learning: {lr: {choices: [0.1]}}\nspeed: {pin_memory: {choices: [false, true]}}\n"
    with pytest.raises(SpecError, match=r"^s\.yaml:4: learning: something must be left .*; add choices$"):
        resolve(text)


@pytest.mark.parametrize(
    ("allocators", "fixed", "left_out"),
    [(("glibc",), {"allocator": "retain"}, None), ((), {}, "retain: there is no glibc here")],
)
def test_mnist_trains_with_the_allocator_that_its_memory_format_wants(
    allocators: tuple[str, ...], fixed: dict[str, str], left_out: str | None
) -> None:
    """On a CPU batches of 256 in channels_last were hardly faster than without."""
    on = machine().model_copy(update={"allocators": allocators})
    space = resolve_space(load_spec("mnist"), machine=on, num_cores=2)
    assert space.fixed == fixed
    assert reasons(space).get("allocator") == left_out
    assert "channels_last" in {parameter.name for parameter in space.speed}
