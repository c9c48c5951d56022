from autotune.report.machine.knobs import KnobSummary, left_out, list_knobs
from autotune.report.text.wording import lines_by_reason
from autotune.speed.knobs import KNOBS
from tests.machines import machine


def summaries(*, num_gpus: int = 0) -> dict[str, KnobSummary]:
    return {knob.name: knob for knob in list_knobs(machine(num_gpus=num_gpus))}


def test_every_knob_has_values_or_a_reason() -> None:
    found = summaries()
    assert list(found) == list(KNOBS)
    assert all(bool(knob.values) != bool(knob.reason) for knob in found.values())


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
