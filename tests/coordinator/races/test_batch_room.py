"""Which of a study's larger batches fit its GPU is found out after its race, not by trials that fail."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from autotune.coordinator.races.words import batch_lines
from autotune.coordinator.speeds import RaceEndedError
from autotune.events import Scalar
from autotune.recording.crew import Crew
from autotune.recording.races import RaceRecords
from autotune.speed.racing.result import RaceResult, TriedBatch
from autotune.trial.leases import Lease
from tests.coordinator.races.simulated import CostOf, RacingStudy, racing_study
from tests.coordinator.simulated import KilledError
from tests.speed.simulated import Cost, Setting

GIB = 2**30
CPU = Lease("cpu", None, ())
SGD: dict[str, Scalar] = {"optimizer": "sgd", "num_workers": 2, "channels_last": False}
SPEC = """
task: autotune.tasks.digits:Digits
objective: {metric: val_loss, direction: minimize}
budget: {trials: 30, epochs: 2}
learning: {batch_size: {choices: [16, 32, 64, 128, 256, 512]}}
speed:
  num_workers: {choices: [0, 2]}
  channels_last: {choices: [false, true]}
baseline: {batch_size: 32, num_workers: 0, channels_last: false}
"""


def holding(*, bytes_per_sample: float, more_bytes: int | None = None) -> CostOf:
    """Two workers pay, and so does a memory format that holds so many bytes more; None: it does not."""

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        batch_size = learning["batch_size"]
        assert isinstance(batch_size, int)
        is_last = more_bytes is not None and bool(setting.get("channels_last"))
        return Cost(
            compute_seconds=0.007 if is_last else 0.01,
            wait_seconds=0.005 if setting["num_workers"] else 0.02,
            peak_memory_bytes=int(batch_size * bytes_per_sample) + (more_bytes or 0) * is_last,
        )

    return cost


@contextmanager
def study_on_a_gpu(
    folder: Path, *, cost: CostOf, monkeypatch: pytest.MonkeyPatch, spec: str = SPEC
) -> Iterator[RacingStudy]:
    with racing_study(folder, spec=spec, cost=cost, monkeypatch=monkeypatch) as study:
        study.ground.device_bytes = 8 * GIB
        yield study


def ended_after(num_raced: int, study: RacingStudy, *, error: BaseException | None = None) -> Callable[[], None]:
    """Ends the study in a wait, once more batches than these were begun: the race's is the first."""

    def on_wait() -> None:
        if len(study.ground.raced) > num_raced:
            raise error or RaceEndedError("interrupted")

    return on_wait


def race_of(study: RacingStudy) -> RaceResult:
    (row,) = RaceRecords(study.records.engine).of_study(study.books.study)
    return RaceResult.model_validate_json(row.result_json)


def test_largest_batch_that_fits_is_all_that_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = holding(bytes_per_sample=GIB / 128)
    with study_on_a_gpu(tmp_path, cost=cost, monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=32)["num_workers"] == 2
        assert study.ground.raced == [32, 512]
        assert study.said[-1] == "race: batch_size: 512 fits the device"
        (tried,) = race_of(study).batches
        assert (tried.batch_size, tried.peak_memory_bytes, tried.reason) == (512, 4 * GIB, "")


def test_batches_that_run_out_after_the_race_are_not_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = holding(bytes_per_sample=GIB / 20)  # 160 samples
    with study_on_a_gpu(tmp_path, cost=cost, monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32)
        assert study.said[-2:] == [
            "race: batch_size: 128 fits the device",
            "race: batch_size: 256 does not fit the device (no room)",
        ]
        sizes = {tried.batch_size for tried in race_of(study).batches}
        assert sizes == {512, 256, 128}
        for _ in range(2):
            taken_over = {"num_workers": 2, "channels_last": False}
            refused = {
                size: study.fitting.reason_not_to_launch(1, parameters={"batch_size": size, **taken_over}, lease=CPU)
                for size in (64, 128, 256, 512)
            }
            assert (refused[64], refused[128]) == (None, None)
            assert refused[256] == "predicted not to fit: the race with batch_size 256 ran out of memory"
            assert refused[512] is not None
            study.start_again()  # and so it is in the next start


def test_batch_that_the_winner_alone_is_too_large_for_is_trained_with_the_baselines_speed_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost = holding(bytes_per_sample=GIB / 80, more_bytes=2 * GIB)  # 512 samples take 6.4 GiB
    with study_on_a_gpu(tmp_path, cost=cost, monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=32)["channels_last"]
        tried = {(each.batch_size, each.setting["channels_last"]): each.reason for each in race_of(study).batches}
        assert tried[512, True]
        assert tried[512, False] == ""


@pytest.mark.parametrize(
    "spec",
    [
        SPEC.replace("choices: [16, 32, 64, 128, 256, 512]", "choices: [16, 32]"),
        SPEC.replace("speed:\n", "speed:\n  accumulate: auto\n"),
    ],
    ids=["none is larger", "the micro-batch shrinks"],
)
def test_nothing_is_tried_where_no_batch_can_be_too_large(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study_on_a_gpu(tmp_path, cost=holding(bytes_per_sample=1.0), monkeypatch=monkeypatch, spec=spec) as study:
        study.train(1, batch_size=32)
        assert study.ground.raced == [32]


def test_nothing_is_tried_on_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with racing_study(tmp_path, spec=SPEC, cost=holding(bytes_per_sample=1.0), monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32)
        assert study.ground.raced == [32]


def test_race_is_kept_where_the_study_ends_while_batches_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with study_on_a_gpu(tmp_path, cost=holding(bytes_per_sample=GIB / 20), monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=32, on_wait=ended_after(1, study))["num_workers"] == 2
        assert study.said[-1] == "race: which batches fit was not found out, interrupted"
        assert race_of(study).batches == ()


def test_tries_that_were_over_when_the_study_ended_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were dropped, and the next start made them again."""
    with study_on_a_gpu(tmp_path, cost=holding(bytes_per_sample=GIB / 20), monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32, on_wait=ended_after(2, study))
        assert [(tried.batch_size, bool(tried.reason)) for tried in race_of(study).batches] == [(512, True)]
        assert study.said[-2:] == [
            "race: not all batches were tried, interrupted",
            "race: batch_size: 512 does not fit the device (no room)",
        ]
        taken_over = {"batch_size": 512, "num_workers": 2, "channels_last": False}
        assert study.fitting.reason_not_to_launch(1, parameters=taken_over, lease=CPU) is not None


@pytest.mark.parametrize(("start_seconds", "raced"), [(0.1, [32, 512]), (10.0, [32])])
def test_nothing_is_tried_where_a_start_takes_longer_than_there_is_time_though_the_baseline_won(
    start_seconds: float, raced: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No heat has the baseline's setting: its start was taken for none, was begun, and cut off."""

    def cost(learning: Mapping[str, Scalar], setting: Setting) -> Cost:
        del learning, setting
        return Cost(compute_seconds=0.01, wait_seconds=0.02, start_seconds=start_seconds)

    with study_on_a_gpu(tmp_path, cost=cost, monkeypatch=monkeypatch) as study:
        assert study.train(1, batch_size=32)["num_workers"] == 0
        assert study.ground.raced == raced


def test_what_was_tried_with_momentum_is_known_of_trials_with_momentum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was kept as of trials without, so that each too large batch failed as a trial, and was tried again."""
    spec = SPEC.replace("learning: {", "learning: {optimizer: sgd, momentum: {low: 0.5, high: 0.99}, ")
    spec = spec.replace("baseline: {", "baseline: {momentum: 0.9, ")
    cost = holding(bytes_per_sample=GIB / 20)  # 160 samples
    with study_on_a_gpu(tmp_path, cost=cost, monkeypatch=monkeypatch, spec=spec) as study:
        study.train(1, batch_size=32, momentum=0.7)
        for _ in range(2):
            refused = [
                study.fitting.reason_not_to_launch(1, parameters=parameters | {"batch_size": 256}, lease=CPU)
                for parameters in (SGD | {"momentum": 0.6}, SGD)
            ]
            assert refused == ["predicted not to fit: the race with batch_size 256 ran out of memory", None]
            study.start_again()


def test_batches_that_another_coordinator_found_too_large_are_not_launched_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It heard of the winner, and launched trials of batches that the other one had seen to run out."""
    with study_on_a_gpu(tmp_path, cost=holding(bytes_per_sample=GIB / 20), monkeypatch=monkeypatch) as study:
        alone = study.books
        study.books = replace(alone, crew=Crew(study.records, study=alone.study, lease=alone.lease, stale_seconds=60))
        study.start_again()
        here, fitting = study.speeds, study.fitting
        study.books = alone
        study.start_again()
        study.train(1, batch_size=32)
        study.speeds = here
        parameters = study.train(2, batch_size=256, is_alone=False)
        refused = fitting.reason_not_to_launch(2, parameters=parameters, lease=CPU)
        assert refused == "predicted not to fit: the race with batch_size 256 ran out of memory"


def test_batches_that_a_killed_start_did_not_try_are_tried_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race was known, and nothing after it was done ever again."""
    with study_on_a_gpu(tmp_path, cost=holding(bytes_per_sample=GIB / 20), monkeypatch=monkeypatch) as study:
        with pytest.raises(KilledError):
            study.train(1, batch_size=32, on_wait=ended_after(1, study, error=KilledError()))
        assert race_of(study).batches == ()
        study.ground.raced.clear()
        for _ in range(2):
            study.start_again()
            assert study.train(1, batch_size=32, is_alone=False)["num_workers"] == 2
            study.train(2, batch_size=32)
        assert {tried.batch_size for tried in race_of(study).batches} == {512, 256, 128}
        assert study.ground.raced == [512, 128, 256, 256], "the last one with the baseline's speed parameters"
        taken_over = {"batch_size": 256, "num_workers": 2, "channels_last": False}
        assert study.fitting.reason_not_to_launch(1, parameters=taken_over, lease=CPU) is not None


def test_batches_below_one_that_ran_out_before_the_study_ended_are_tried_in_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were left to trials that fail, in that study and in all later ones."""
    with study_on_a_gpu(tmp_path, cost=holding(bytes_per_sample=GIB / 20), monkeypatch=monkeypatch) as study:
        study.train(1, batch_size=32, on_wait=ended_after(2, study))
        assert [tried.batch_size for tried in race_of(study).batches] == [512]
        study.ground.raced.clear()
        for _ in range(2):
            study.start_again()
            study.train(1, batch_size=32)
        assert study.ground.raced == [128, 256, 256], "the last one with the baseline's speed parameters"
        assert [tried.batch_size for tried in race_of(study).batches] == [512, 128, 256, 256]
        taken_over: dict[str, Scalar] = {"num_workers": 2, "channels_last": False}
        refused = [
            study.fitting.reason_not_to_launch(1, parameters=taken_over | {"batch_size": size}, lease=CPU) is not None
            for size in (128, 256)
        ]
        assert refused == [False, True]


def test_batch_that_crashes_is_not_said_to_be_too_large() -> None:
    crashed = TriedBatch(batch_size=512, setting={}, peak_memory_bytes=None, reason="crashed", shortage=None)
    assert [*batch_lines([crashed])] == ["batch_size: 512 could not be trained (crashed)"]
