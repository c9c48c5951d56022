import json

import pytest

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.report.machine.knobs import KnobSummary, bound, left_out, list_knobs
from autotune.report.text.wording import lines_by_reason
from autotune.search.resolve import resolve_space
from autotune.spec.load import parse_spec
from autotune.speed.knobs import KNOBS
from tests.machines import machine


def summaries(*, num_gpus: int = 0) -> dict[str, KnobSummary]:
    return {knob.name: knob for knob in list_knobs(machine(num_gpus=num_gpus))}


def test_every_knob_has_legal_values_or_a_reason() -> None:
    found = summaries()
    assert list(found) == list(KNOBS)
    assert all((bool(knob.choices) or knob.low is not None) != bool(knob.reason) for knob in found.values())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("num_workers", "0 to 512, or auto; a race tries 0, 1, 2, 4"),
        ("prefetch_factor", "1 to 512; a race tries 2, 4, 8"),
        ("accumulate", "1 or more, or auto; raced only where a spec names it"),
        ("validation_batch_size", "1 or more, or auto; raced only where a spec names it"),
    ],
)
def test_number_stands_with_its_bounds_and_with_what_a_race_tries(name: str, words: str) -> None:
    """Of a range there were the values that a race tries, and of ``accumulate`` 1 alone."""
    assert summaries()[name].words == words


def test_a_spec_may_name_every_value_that_is_called_legal() -> None:
    for knob in summaries(num_gpus=1).values():
        for value in (*knob.choices, knob.low, knob.high):
            if value is not None:
                resolve(knob.name, value)


def test_a_spec_may_name_no_number_beyond_those_that_are_called_legal() -> None:
    knobs = summaries(num_gpus=1).values()
    too_low = [(knob.name, knob.low - 1) for knob in knobs if knob.low is not None]
    too_high = [(knob.name, knob.high + 1) for knob in knobs if knob.high is not None]
    assert len(too_low) > len(too_high) > 0
    for name, value in (*too_low, *too_high):
        with pytest.raises(SpecError, match=f"speed.{name}: "):
            resolve(name, value)


def resolve(name: str, value: Scalar) -> None:
    text = f"""
task: a:B
objective: {{metric: a, direction: minimize}}
budget: {{trials: 3}}
learning: {{lr: {{low: 0.1, high: 1}}, batch_size: 64, optimizer: adam}}
speed: {{{name}: {json.dumps(value)}}}
"""
    resolve_space(parse_spec(text, origin="s.yaml"), machine=machine(num_gpus=1), num_cores=4)


def test_a_choice_that_is_out_has_its_reason() -> None:
    cache = summaries()["cache"]
    assert cache.values == ("off", "memory")
    assert cache.left_out == {"device": "trials run on the CPU here, whose memory is the device's"}


def test_a_gpu_brings_its_knobs_in() -> None:
    assert summaries()["cudnn_benchmark"].reason is not None
    assert summaries(num_gpus=1)["cudnn_benchmark"].values == (False, True)


def test_numbers_go_up_to_the_cores() -> None:
    assert summaries()["num_workers"].values == (0, 1, 2, 4)


def test_knob_that_a_race_tries_only_when_asked_says_so() -> None:
    words = {knob.name: knob.words for knob in list_knobs(machine())}
    assert words["worker_start_method"] == "fork, forkserver, spawn; raced only where a spec names it"
    assert words["channels_last"] == "false, true"


def test_what_is_out_stands_together_by_its_reason() -> None:
    lines = lines_by_reason(left_out(list_knobs(machine())))
    (on_cuda,) = (line for line in lines if ": it acts on a CUDA device alone" in line)
    assert on_cuda.startswith("pin_memory, ")
    assert "cache: device: trials run on the CPU here, whose memory is the device's" in lines
    assert not any("pin_memory" in line for line in lines_by_reason(left_out(list_knobs(machine(num_gpus=1)))))


def test_what_is_bound_to_another_knob_stands_together_by_how() -> None:
    lines = lines_by_reason(bound(list_knobs(machine(num_gpus=1))))
    (of_workers,) = (line for line in lines if line.endswith(": means something only with num_workers above 0"))
    assert of_workers.startswith("prefetch_factor, persistent_workers, ")
    assert "device_prefetch: true goes only with pin_memory true" in lines
    assert "float32_matmul_precision: sets what fp32_precision_matmul sets: a spec has one of the two" in lines
    without = lines_by_reason(bound(list_knobs(machine())))
    assert not any("pin_memory" in line or "fp32_precision" in line for line in without)
    assert "cache: memory goes only with num_workers 0" in without
    assert not any("device goes only" in line for line in without)
