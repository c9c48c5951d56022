"""What a race tries, and what its contestants and the trials after it train with."""

from pathlib import Path

import pytest

from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.races.ground import RaceGround, entries_of, is_slow_to_start, possible_entries
from autotune.events import Rehearsal, Scalar
from autotune.search.resolve import resolve_space
from autotune.search.space import SearchSpace
from autotune.spec.load import parse_spec
from autotune.speed.knobs.entries import Entry
from autotune.speed.knobs.table import KNOBS
from autotune.trial.launcher import Launcher
from autotune.trial.leases import DevicePool
from tests.coordinator.races.simulated import racing_study
from tests.coordinator.races.test_in_study import SPEC as IN_STUDY
from tests.coordinator.races.test_in_study import fails
from tests.machines import machine

SPEC = """
task: a:B
objective: {metric: a, direction: minimize}
budget: {trials: 30}
learning: {lr: {low: 0.1, high: 1}, optimizer: {choices: [adam, rprop]}}
speed:
"""


def resolve(speed: str) -> SearchSpace:
    return resolve_space(parse_spec(SPEC + speed, origin="s.yaml"), machine=machine(), num_cores=4)


def raced(speed: str) -> dict[str, tuple[object, ...]]:
    entries = entries_of(resolve(speed), knobs=KNOBS, num_cores=4, machine=machine())
    return {entry.name: entry.values for entry in entries}


def test_of_a_range_what_is_worth_trying_is_raced() -> None:
    assert raced("  num_workers: {low: 0, high: auto}") == {"num_workers": (0, 1, 2, 4)}


def test_range_without_anything_worth_trying_is_raced_at_its_ends() -> None:
    assert raced("  num_workers: {low: 5, high: 7}") == {"num_workers": (5, 7)}


def test_race_keeps_to_the_steps_of_a_range() -> None:
    assert raced("  num_workers: {low: 0, high: 6, step: 2}") == {"num_workers": (0, 2, 4)}


def test_choices_that_a_workload_cannot_have_are_not_raced_there() -> None:
    space = resolve("  optimizer_impl: {choices: [for_loop, foreach, fused]}")
    entries = entries_of(space, knobs=KNOBS, num_cores=4, machine=machine())
    (entry,) = possible_entries(entries, space=space, learning={"optimizer": "rprop"})
    assert entry.values == ("for_loop", "foreach")


@pytest.mark.parametrize(
    ("setting", "is_slow"),
    [
        ({}, False),
        ({"num_workers": 2, "optimizer_impl": "fused"}, False),
        ({"allocator": "jemalloc"}, True),  # a new interpreter, which imports torch
        ({"cache": "memory"}, True),
        ({"compile": "default"}, True),
    ],
)
def test_start_that_is_known_as_slow_is_not_taken_for_a_hang(setting: dict[str, Scalar], *, is_slow: bool) -> None:
    entries = [Entry(knob, knob.choices) for knob in KNOBS.values()]
    assert is_slow_to_start(setting, entries=entries) is is_slow


def test_fixed_knob_that_means_something_beside_others_alone_goes_with_each_setting() -> None:
    space = resolve("  num_workers: {choices: [0, 2]}\n  prefetch_factor: 4\n  optimizer_impl: fused")
    adam = {"optimizer": "adam"}
    assert space.with_speed(adam, {"num_workers": 2}) == {
        **adam,
        "num_workers": 2,
        "prefetch_factor": 4,
        "optimizer_impl": "fused",
    }
    assert space.with_speed(adam, {"num_workers": 0}) == {**adam, "num_workers": 0, "optimizer_impl": "fused"}
    assert space.with_speed({"optimizer": "rprop"}, {"num_workers": 0}) == {"optimizer": "rprop", "num_workers": 0}


@pytest.mark.parametrize(("device", "num_gpus"), [("cuda", 1), ("cpu", 0)])
def test_race_begins_with_a_guess_on_a_gpu_alone(device: str, num_gpus: int, tmp_path: Path) -> None:
    speed = """
  num_workers: {low: 0, high: auto}
  persistent_workers: {choices: [false, true]}
  precision: {choices: [fp32, bf16]}
  channels_last: {choices: [false, true]}
"""
    file = parse_spec(SPEC + speed, origin="s.yaml")
    here = machine(num_gpus=num_gpus)
    space = resolve_space(file, machine=here, num_cores=4)
    pool = DevicePool([f"{device}:0"], cores=(0, 1, 2, 3), jobs=1)
    stage = Stage(here, device, pool, KNOBS, space, Rehearsal(metric_names=("a",)))
    launcher = Launcher.__new__(Launcher)  # for processes, and there are none
    ground = RaceGround(file.spec, name="s", stage=stage, launcher=launcher, folder=tmp_path, knobs=KNOBS)
    guess = ground.plan({"lr": 0.1, "optimizer": "adam"}, seconds=120).guess
    if device == "cpu":
        assert guess is None
    else:
        assert guess is not None
        wanted = {"num_workers": 4, "persistent_workers": True, "precision": "bf16", "channels_last": True}
        assert {name: guess[name] for name in wanted} == wanted


def test_result_holds_until_the_tasks_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "mine.py"
    spec = IN_STUDY.replace("autotune.tasks.digits:Digits", "mine.py:Mine")

    def digest_of(text: str, *, folder: str) -> str:
        source.write_text(text)
        (tmp_path / folder).mkdir()
        with racing_study(tmp_path, spec=spec, cost=fails(), monkeypatch=monkeypatch) as study:
            (tmp_path / "autotune.db").rename(tmp_path / folder / "autotune.db")
            return study.ground.digest(study.ground.workload({"batch_size": 32}))

    one = digest_of("WIDTH = 1\n", folder="one")
    assert digest_of("WIDTH = 1  # narrow\n", folder="two") == one
    assert digest_of("WIDTH = 2\n", folder="three") != one
