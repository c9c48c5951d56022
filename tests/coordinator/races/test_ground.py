"""What a race tries, and what its contestants and the trials after it train with."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.races.ground import RaceGround
from autotune.events import Rehearsal, Scalar
from autotune.search.resolve import resolve_space
from autotune.search.space import SearchSpace
from autotune.spec.load import parse_spec
from autotune.speed.knobs import with_own
from autotune.speed.knobs.knob import Knob
from autotune.speed.knobs.table import KNOBS
from autotune.speed.racing.race import race
from autotune.task_knob import TaskKnob
from autotune.trial.launcher import Launcher
from autotune.trial.leases import DevicePool
from tests.coordinator.races.simulated import racing_study
from tests.coordinator.races.test_in_study import SPEC as IN_STUDY
from tests.coordinator.races.test_in_study import fails
from tests.machines import machine
from tests.report.raced import BESIDE, result_of
from tests.speed.simulated import Cost, Setting, SimulatedArena

SPEC = """
task: a:B
objective: {metric: a, direction: minimize}
budget: {trials: 30}
learning: {lr: {low: 0.1, high: 1}, optimizer: {choices: [adam, rprop]}}
speed:
"""


def resolve(speed: str) -> SearchSpace:
    return resolve_space(parse_spec(SPEC + speed, origin="s.yaml"), machine=machine(), num_cores=4)


def ground_of(
    speed: str, *, folder: Path, device: str = "cpu", num_gpus: int = 0, knobs: Mapping[str, Knob] = KNOBS
) -> RaceGround:
    file = parse_spec(SPEC + speed, origin="s.yaml")
    here = machine(num_gpus=num_gpus)
    space = resolve_space(file, machine=here, num_cores=4, knobs=knobs)
    pool = DevicePool([f"{device}:0"], cores=(0, 1, 2, 3), jobs=1)
    stage = Stage(here, device, pool, knobs, space, Rehearsal(metric_names=("a",)))
    launcher = Launcher.__new__(Launcher)  # for processes, and there are none
    return RaceGround(file.spec, name="s", stage=stage, launcher=launcher, folder=folder, knobs=knobs)


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
    ground = ground_of(speed, folder=tmp_path, device=device, num_gpus=num_gpus)
    guess = ground.plan({"lr": 0.1, "optimizer": "adam"}, seconds=120).guess
    if device == "cpu":
        assert guess is None
    else:
        assert guess is not None
        wanted = {"num_workers": 4, "persistent_workers": True, "precision": "bf16", "channels_last": True}
        assert {name: guess[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("fixed", "raced", "faster"),
    [
        ({"num_workers": 2}, "prefetch_factor: {choices: [2, 8]}", ("prefetch_factor", 8)),
        ({"num_workers": 2}, "persistent_workers: {choices: [false, true]}", ("persistent_workers", True)),
        ({"cudnn_benchmark": True}, "cudnn_benchmark_limit: {choices: [10, 0]}", ("cudnn_benchmark_limit", 0)),
        ({"pin_memory": True}, "device_prefetch: {choices: [false, true]}", ("device_prefetch", True)),
    ],
)
def test_knob_that_depends_on_a_fixed_value_is_raced(
    fixed: dict[str, Scalar], raced: str, faster: tuple[str, Scalar], tmp_path: Path
) -> None:
    """None of them was, and the race said to keep what is there."""
    ((parent, value),) = fixed.items()
    ground = ground_of(f"  {parent}: {str(value).lower()}\n  {raced}", folder=tmp_path, device="cuda", num_gpus=1)

    def cost(setting: Setting) -> Cost:
        name, best = faster
        return Cost(compute_seconds=0.01, wait_seconds=0.0 if setting.get(name) == best else 0.01)

    arena = SimulatedArena(cost)
    plan = ground.plan({**fixed, "lr": 0.1, "optimizer": "adam"}, seconds=1e6)
    result = race(arena, plan, clock=lambda: arena.machine.now)
    assert result.kept == dict([faster])
    assert all(parent not in heat.changes for heat in result.heats)


def test_tasks_knob_that_depends_on_another_of_its_own_is_raced_beside_what_that_does_unasked(tmp_path: Path) -> None:
    own = (
        TaskKnob(name="lanes", choices=(2, 4), simplest=2),
        TaskKnob(name="lane_order", choices=("round", "free"), simplest="round", needs_positive="lanes"),
    )
    knobs = with_own(own, task="a:B")
    ground = ground_of("  lane_order: {choices: [round, free]}", folder=tmp_path, knobs=knobs)
    arena = SimulatedArena(lambda setting: Cost(compute_seconds=0.005 if setting.get("lane_order") == "free" else 0.01))
    plan = ground.plan({"lr": 0.1, "optimizer": "adam"}, seconds=1e6)
    assert race(arena, plan, clock=lambda: arena.machine.now).kept == {"lane_order": "free"}


def test_choice_that_a_fixed_value_forbids_is_not_raced(tmp_path: Path) -> None:
    fixed: dict[str, Scalar] = {"pin_memory": False, "num_workers": 2}
    speed = """
  pin_memory: false
  num_workers: 2
  device_prefetch: {choices: [false, true]}
  cache: {choices: [off, memory]}
  channels_last: {choices: [false, true]}
"""
    ground = ground_of(speed, folder=tmp_path, device="cuda", num_gpus=1)
    arena = SimulatedArena(lambda _: Cost(compute_seconds=0.01, wait_seconds=0.01))
    race(arena, ground.plan({**fixed, "lr": 0.1, "optimizer": "adam"}, seconds=1e6), clock=lambda: arena.machine.now)
    tried = {name for contestant in arena.entered for name in contestant.setting}
    assert tried == {"num_workers", "channels_last"}


def test_what_is_fixed_beside_a_winner_alone_is_among_what_it_trains_with(tmp_path: Path) -> None:
    ground = ground_of("  num_workers: {choices: [0, 2]}\n  prefetch_factor: 4", folder=tmp_path)
    assert ground.in_full({"lr": 0.1, "optimizer": "adam"}, {"num_workers": 2}) == {
        "num_workers": 2,
        "prefetch_factor": 4,
    }


def test_knob_of_an_informed_guess_is_not_near_because_the_winner_is_ahead_of_it(tmp_path: Path) -> None:
    """The heat's ratio is the winner over the guess: the further behind the guess was, the nearer it was called."""
    speed = "  num_workers: {choices: [0, 2]}\n  channels_last: {choices: [false, true]}"
    ground = ground_of(speed, folder=tmp_path)
    informed = BESIDE.model_copy(update={"stage": "informed", "changes": {"num_workers": 2}})
    former = result_of(baseline={"num_workers": 0}, setting={"num_workers": 0, "channels_last": True})
    former = former.model_copy(update={"heats": (BESIDE, informed)})
    plan = ground.plan({"lr": 0.1, "optimizer": "adam"}, seconds=30, former=former)
    assert [entry.name for entry in plan.entries] == ["channels_last"]


def test_what_won_is_raced_again_on_the_next_workload_however_it_was_adopted(tmp_path: Path) -> None:
    ground = ground_of("  torch_threads: {choices: [1, 2, 4]}", folder=tmp_path)
    former = result_of(setting={"torch_threads": 2}, heats=())
    plan = ground.plan({"lr": 0.1, "optimizer": "adam"}, seconds=30, former=former)
    assert [entry.name for entry in plan.entries] == ["torch_threads"]


def digest_of(speed: str, *, folder: Path) -> str:
    ground = ground_of(speed, folder=folder)
    return ground.digest(ground.workload({"lr": 0.1, "optimizer": "adam"}))


def test_results_of_races_that_knew_all_that_they_raced_stay_known(tmp_path: Path) -> None:
    """Keys as they were before races knew of fixed values."""
    speed = "  num_workers: {choices: [0, 2]}\n  persistent_workers: {choices: [false, true]}"
    assert digest_of(speed, folder=tmp_path) == "f23fca8516997894896ad501865c97c1"
    assert (
        digest_of("  num_workers: 2\n  channels_last: {choices: [false, true]}", folder=tmp_path)
        == "f52ca24daa3d5f9375471b14a817ae83"
    )
    deaf = "dbffd728bb2c915bf300b43b1cfd7408"
    assert digest_of("  num_workers: 2\n  persistent_workers: {choices: [false, true]}", folder=tmp_path) != deaf


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
