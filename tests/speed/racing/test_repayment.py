"""What of a race holds for runs of another length, read from its result alone."""

import json

import pytest

from autotune.events import Scalar
from autotune.speed.racing.repayment import may_compile_now, repaid_now, setting_for
from autotune.speed.racing.result import BreakEven, RaceResult
from autotune.speed.racing.run_length import RunLength
from tests.report.raced import result_of

WINNER = {"num_workers": 2, "compile": "default", "precision": "bf16"}
AFTER_6_000 = BreakEven(knob="compile", start_seconds=30.0, steps=6_000, steps_that_remain=10_000, step_seconds=0.01)


MEASURED = {"steps_per_epoch": 100, "samples_per_step": 32.0}
"""Of steps of 10 ms, 5 ms compiled."""
COMPILED = result_of(
    setting=WINNER,
    baseline={"num_workers": 0, "compile": "off", "precision": "fp32"},
    break_evens=(AFTER_6_000,),
    reduced_precision=("precision",),
    samples_per_second=6_400.0,
    **MEASURED,
)


def eager(*, is_run_too_short_to_compile: bool = False) -> RaceResult:
    return result_of(
        setting={"num_workers": 2},
        samples_per_second=3_200.0,
        is_run_too_short_to_compile=is_run_too_short_to_compile,
        **MEASURED,
    )


@pytest.mark.parametrize(
    ("run", "is_repaid"),
    [
        (RunLength(epochs=60), True),
        (RunLength(epochs=59), False),
        (RunLength(epochs=100, seconds=60.0), True),
        (RunLength(epochs=100, seconds=59.0), False),
        (RunLength(epochs=100, samples=6_000 * 32), True),
        (RunLength(epochs=100, samples=5_999 * 32), False),
    ],
)
def test_winner_is_compiled_for_runs_that_repay_it(run: RunLength, *, is_repaid: bool) -> None:
    assert setting_for(COMPILED, run) == WINNER | {"compile": "default" if is_repaid else "off"}


def test_winner_of_another_workload_keeps_neither_digits_nor_what_is_not_repaid() -> None:
    kept = setting_for(COMPILED, RunLength(epochs=2), in_full_precision=True)
    assert kept == {"num_workers": 2, "compile": "off", "precision": "fp32"}


def test_compiling_of_the_baseline_is_the_users_own() -> None:
    result = result_of(setting={"compile": "default"}, baseline={"compile": "default"}, break_evens=(AFTER_6_000,))
    assert setting_for(result, RunLength(epochs=1)) == {"compile": "default"}


def test_mode_is_left_where_any_of_those_it_builds_on_is_not_repaid() -> None:
    longer = AFTER_6_000.model_copy(update={"steps": 8_000})
    result = result_of(setting={"compile": "max-autotune"}, steps_per_epoch=100, break_evens=(AFTER_6_000, longer))
    assert setting_for(result, RunLength(epochs=70)) == {}
    assert setting_for(result, RunLength(epochs=80)) == {"compile": "max-autotune"}


def test_mode_that_was_not_repaid_in_the_race_asks_nothing_of_the_one_that_was() -> None:
    never = AFTER_6_000.model_copy(update={"steps": 90_000})
    result = result_of(setting={"compile": "default"}, steps_per_epoch=100, break_evens=(AFTER_6_000, never))
    assert setting_for(result, RunLength(epochs=60)) == {"compile": "default"}


@pytest.mark.parametrize(
    ("run", "may"),
    [
        (RunLength(epochs=20), True),
        (RunLength(epochs=19), False),
        (RunLength(epochs=100, seconds=20.0), True),
        (RunLength(epochs=100, samples=1_000 * 32), False),
    ],
)
def test_workload_whose_runs_were_too_short_to_compile_is_open_for_longer_ones(run: RunLength, *, may: bool) -> None:
    assert may_compile_now(eager(is_run_too_short_to_compile=True), run) is may


def test_workload_that_found_compiling_no_faster_is_not_open_for_any_run() -> None:
    assert not may_compile_now(eager(), RunLength(epochs=10_000))


@pytest.mark.parametrize(
    ("setting", "epochs", "knobs"),
    [({}, 90, {"cudnn_benchmark"}), ({}, 60, set()), ({"cudnn_benchmark": True}, 90, set())],
)
def test_workload_is_open_for_runs_that_repay_a_start_which_those_of_its_race_did_not(
    setting: dict[str, Scalar], epochs: int, knobs: set[str]
) -> None:
    """A search that was faster stayed out for runs of every length, once a race for short ones had left it out."""
    unpaid = AFTER_6_000.model_copy(update={"knob": "cudnn_benchmark", "steps": 8_000, "steps_that_remain": 2_000})
    result = result_of(setting=setting, break_evens=(unpaid,), samples_per_second=3_200.0, **MEASURED)
    assert repaid_now(result, RunLength(epochs=epochs)) == knobs


def test_workload_that_compiles_already_is_not_open() -> None:
    assert not may_compile_now(COMPILED, RunLength(epochs=10_000))


def test_race_of_an_earlier_version_is_read_and_held_against_epochs() -> None:
    """Its row has neither the samples of a step nor how long one takes."""
    told = json.loads(COMPILED.model_dump_json())
    del told["samples_per_step"], told["is_run_too_short_to_compile"], told["break_evens"][0]["step_seconds"]
    result = RaceResult.model_validate(told)
    assert setting_for(result, RunLength(epochs=60))["compile"] == "default"
    assert setting_for(result, RunLength(epochs=59))["compile"] == "off"
    assert setting_for(result, RunLength(epochs=60, seconds=1e6))["compile"] == "off"  # can't be counted in steps
