import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from autotune.events import UNREAD, Block, Feed, Scalar
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from autotune.speed.knobs.knob import Companion, Knob
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.local import LocalArena
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.plan import RacePlan, RaceWatch
from autotune.speed.racing.race import race
from autotune.speed.racing.repayment import setting_for
from autotune.speed.racing.result import EpochStarts, Heat, RaceResult
from autotune.speed.racing.run_length import RunLength
from autotune.speed.racing.words import change_words
from tests.speed.simulated import Cost, Jitter, Setting, SimulatedArena, SimulatedContestant, SimulatedMachine, Spikes


def knob(name: str, *choices: Scalar, **fields: object) -> Knob:
    defaults: dict[str, object] = {"numerics": "exact", "needs": "live", "summary": "", "docs": ""}
    return Knob(name=name, simplest=choices[0], choices=choices, **{**defaults, **fields})  # type: ignore[arg-type]


WORKERS = Entry(KNOBS["num_workers"], (0, 1, 2, 4))
PREFETCH = Entry(KNOBS["prefetch_factor"], (2, 4))
ALLOCATOR = Entry(KNOBS["allocator"], ("default", "retain"))
CHANNELS_LAST = Entry(KNOBS["channels_last"], (False, True))
FUSED = Entry(KNOBS["optimizer_impl"], ("for_loop", "foreach", "fused"))
PRECISION = Entry(KNOBS["precision"], ("fp32", "bf16"))
COMPILE = Entry(KNOBS["compile"], ("off", "default"))
CACHE = Entry(
    knob("cache", "off", "memory", moves=("input",), companions=(Companion("memory", "num_workers", (0,)),)),
    ("off", "memory"),
)


def run(
    arena: SimulatedArena, *entries: Entry, baseline: Setting | None = None, seconds: float = 1e6, **fields: object
) -> RaceResult:
    plan = RacePlan(entries=entries, baseline=baseline or {}, seconds=seconds, **fields)  # type: ignore[arg-type]
    return race(arena, plan, clock=lambda: arena.machine.now)


def heats_of(result: RaceResult, name: str) -> list[Heat]:
    return [heat for heat in result.heats if name in heat.changes and heat.stage == "screen"]


def compute_bound(setting: Setting) -> Cost:
    factor = 0.8 if setting.get("channels_last") else 1.0
    factor *= 0.9 if setting.get("optimizer_impl") == "fused" else 1.0
    return Cost(compute_seconds=0.01 * factor)


def input_bound(setting: Setting) -> Cost:
    workers = int(str(setting.get("num_workers", 0)))
    wait = {0: 0.03, 1: 0.03, 2: 0.012, 4: 0.0}[workers]
    if setting.get("cache") == "memory":
        wait = 0.001
    return Cost(compute_seconds=0.01, wait_seconds=wait)


def noisy(seed: int = 0, *, device: str = "cpu") -> SimulatedMachine:
    return SimulatedMachine(seed=seed, noises=(Jitter(0.02), Spikes(0.01)), device=device)


def test_race_stacks_the_knobs_that_make_a_step_faster() -> None:
    result = run(SimulatedArena(compute_bound, machine=noisy()), CHANNELS_LAST, FUSED)
    assert result.setting == {"channels_last": True, "optimizer_impl": "fused"}
    assert result.gain is not None
    assert result.gain.low <= 1 / 0.72 <= result.gain.high
    assert result.diagnoses[0].kind == "compute"


@pytest.mark.parametrize("seed", range(20))
def test_race_keeps_the_baseline_where_nothing_helps(seed: int) -> None:
    result = run(SimulatedArena(lambda _: Cost(compute_seconds=0.01), machine=noisy(seed)), CHANNELS_LAST, FUSED)
    assert result.setting == {}
    assert result.gain is None


def a_tenth_faster(setting: Setting) -> Cost:
    return Cost(compute_seconds=0.01 / (1.1 if setting.get("channels_last") else 1.0))


def race_a_tenth(seed: int, *, seconds: float = 1e6) -> RaceResult:
    machine = SimulatedMachine(seed=seed, noises=(Jitter(0.1),))
    return run(SimulatedArena(a_tenth_faster, machine=machine), CHANNELS_LAST, FUSED, seconds=seconds)


def test_race_tries_again_what_gains_only_beside_a_winner() -> None:
    def cost(setting: Setting) -> Cost:
        is_last, retains = setting.get("channels_last"), setting.get("allocator") == "retain"
        factor = 0.7 if is_last and retains else 1.2 if is_last else 0.85 if retains else 1.0
        return Cost(compute_seconds=0.01 * factor)

    result = run(SimulatedArena(cost, machine=noisy(device="cuda")), CHANNELS_LAST, ALLOCATOR)
    assert result.setting == {"allocator": "retain", "channels_last": True}
    assert [heat.verdict for heat in heats_of(result, "channels_last")] == ["rejected", "kept"]


def test_race_tries_again_after_what_is_new_what_a_winner_interacts_with() -> None:
    def cost(setting: Setting) -> Cost:
        is_last, retains = setting.get("channels_last"), setting.get("allocator") == "retain"
        return Cost(compute_seconds=0.01 * (0.6 if is_last and retains else 0.8 if is_last else 1.0))

    result = run(SimulatedArena(cost, machine=noisy(device="cuda")), CHANNELS_LAST, ALLOCATOR, FUSED)
    assert result.setting == {"allocator": "retain", "channels_last": True}
    tried = [next(iter(heat.changes)) for heat in result.heats if heat.stage == "screen"]
    assert tried.index("optimizer_impl") < len(tried) - 1 - tried[::-1].index("allocator")


def test_race_tries_a_memory_format_on_a_processor_beside_the_allocator_that_it_wants() -> None:
    """Beside another one some processes are fast and some are slow, and a race met one of the slow ones."""

    def cost(setting: Setting) -> Cost:
        are_both = bool(setting.get("channels_last")) and setting.get("allocator") == "retain"
        return Cost(compute_seconds=0.006 if are_both else 0.01)

    result = run(SimulatedArena(cost, machine=noisy()), CHANNELS_LAST, ALLOCATOR)
    assert result.setting == {"allocator": "retain", "channels_last": True}
    assert [heat.verdict for heat in heats_of(result, "channels_last")] == ["kept"]


def test_memory_format_is_tried_beside_an_allocator_that_has_won_already() -> None:
    """It took the allocator that it wants in place of any other one, and lost by that."""

    def cost(setting: Setting) -> Cost:
        allocated = {"retain": 0.8, "jemalloc": 0.6}.get(str(setting.get("allocator")), 1.0)
        return Cost(compute_seconds=0.01 * allocated * (0.8 if setting.get("channels_last") else 1.0))

    allocator = replace(ALLOCATOR, values=("default", "retain", "jemalloc"))
    result = run(SimulatedArena(cost, machine=noisy()), CHANNELS_LAST, allocator)
    assert result.setting == {"allocator": "jemalloc", "channels_last": True}


def test_allocator_stays_beside_a_memory_format_though_a_process_is_as_fast_without_it() -> None:
    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=0.006 if setting.get("channels_last") else 0.01)

    result = run(SimulatedArena(cost, machine=noisy()), CHANNELS_LAST, ALLOCATOR)
    assert result.setting == {"allocator": "retain", "channels_last": True}
    assert not [heat for heat in result.heats if heat.stage == "simplify"]


def test_race_tries_more_workers_again_once_a_step_computes_faster() -> None:
    def cost(setting: Setting) -> Cost:
        """A second worker crowds a slow step, and a fast one waits without it."""
        workers, is_fast = int(str(setting.get("num_workers", 0))), bool(setting.get("channels_last"))
        wait = {0: 0.04, 1: 0.004, 2: 0.001 if is_fast else 0.006}[workers]
        return Cost(compute_seconds=0.008 if is_fast else 0.01, wait_seconds=wait)

    result = run(SimulatedArena(cost), Entry(KNOBS["num_workers"], (0, 1, 2)), CHANNELS_LAST)
    assert result.setting == {"num_workers": 2, "channels_last": True}
    tried = [(heat.changes["num_workers"], heat.verdict) for heat in heats_of(result, "num_workers")]
    assert tried == [(1, "kept"), (2, "kept"), (2, "kept")]


def test_race_does_not_try_again_what_the_setting_to_beat_was_measured_with() -> None:
    def cost(setting: Setting) -> Cost:
        is_fed = setting.get("num_workers") == 1
        return Cost(
            compute_seconds=0.008 if setting.get("channels_last") else 0.01, wait_seconds=0.0 if is_fed else 0.04
        )

    result = run(SimulatedArena(cost), Entry(KNOBS["num_workers"], (0, 1)), CHANNELS_LAST)
    assert result.setting == {"num_workers": 1, "channels_last": True}
    assert [heat.changes["channels_last"] for heat in heats_of(result, "channels_last")] == [True]


def test_race_looks_again_at_what_noise_may_have_hidden() -> None:
    twice = [heats for seed in range(40) if len(heats := heats_of(race_a_tenth(seed), "channels_last")) == 2]
    assert all(first.gain is not None and first.verdict == "rejected" for first, _ in twice)
    seemed_faster = [second for first, second in twice if first.gain is not None and first.gain.ratio > 1.03]
    assert any(second.verdict == "kept" for second in seemed_faster)


def test_race_looks_once_more_at_what_it_gave_up_early_where_time_is_left() -> None:
    def given_up(seconds: float) -> list[Heat]:
        """The second heats of what was no faster in the few quads of its first one."""
        heats = [heats_of(race_a_tenth(seed, seconds=seconds), "channels_last") for seed in range(60)]
        firsts = [(each[0].gain, each[-1]) for each in heats if len(each) == 2]
        return [second for gain, second in firsts if gain is not None and gain.ratio < 1.02 and gain.num_quads < 10]

    assert any(heat.verdict == "kept" for heat in given_up(1e6))
    assert not given_up(10.0)


def test_race_tries_together_what_was_given_up_and_is_known_to_interact() -> None:
    """Each by itself was no faster, so that neither was ever tried beside the other."""

    def cost(setting: Setting) -> Cost:
        are_both = bool(setting.get("channels_last")) and setting.get("allocator") == "retain"
        return Cost(compute_seconds=0.006 if are_both else 0.0101 if setting.get("channels_last") else 0.01)

    machine = SimulatedMachine(seed=0, noises=(Jitter(0.05),), device="cuda")
    result = run(SimulatedArena(cost, machine=machine), CHANNELS_LAST, ALLOCATOR)
    assert result.setting == {"allocator": "retain", "channels_last": True}


def test_partner_of_two_that_were_tried_together_is_left_out_where_nothing_is_lost() -> None:
    starts: list[bool] = []

    def cost(setting: Setting) -> Cost:
        is_last = bool(setting.get("channels_last"))
        starts.extend([is_last] if is_last else [])
        is_lucky = len(starts) > 1  # the first process of the setting is slow for as long as it lives
        return Cost(compute_seconds=0.006 if is_last and is_lucky else 0.01)

    machine = SimulatedMachine(seed=0, noises=(Jitter(0.05),), device="cuda")
    result = run(SimulatedArena(cost, machine=machine), CHANNELS_LAST, ALLOCATOR)
    assert result.setting == {"channels_last": True}
    tried = [(heat.stage, tuple(heat.changes), heat.verdict) for heat in result.heats]
    assert ("screen", ("channels_last",), "rejected") in tried
    assert ("simplify", ("allocator",), "kept") in tried


def test_race_tries_again_what_interacts_with_what_a_second_look_found() -> None:
    """The second look was a race's last, so that a memory format was adopted without the allocator that it wants."""

    def cost(setting: Setting) -> Cost:
        is_last, retains = setting.get("channels_last"), setting.get("allocator") == "retain"
        return Cost(compute_seconds=0.01 / (1.4 if is_last and retains else 1.1 if is_last else 0.9 if retains else 1))

    found = []
    for seed in range(40):
        machine = SimulatedMachine(seed=seed, noises=(Jitter(0.1),), device="cuda")
        result = run(SimulatedArena(cost, machine=machine), CHANNELS_LAST, ALLOCATOR, seconds=1e6)
        verdicts = [heat.verdict for heat in heats_of(result, "channels_last")]
        if verdicts[-1] == "kept":
            found.append((len(verdicts), result.setting.get("allocator")))
    assert any(num_looks > 1 for num_looks, _ in found)
    assert {allocator for _, allocator in found} == {"retain"}


def test_race_confirms_in_more_quads_where_noise_asks_for_them_and_time_is_left() -> None:
    gains = [gain for seed in range(40) if (gain := race_a_tenth(seed).gain) is not None]
    most = Pace().confirm_quads
    assert any(gain.num_quads > most for gain in gains)
    assert all(gain.num_quads <= 3 * most for gain in gains)
    hurried = [gain for seed in range(40) if (gain := race_a_tenth(seed, seconds=12.0).gain) is not None]
    assert hurried
    assert all(gain.num_quads < 2 * most for gain in hurried)


@pytest.mark.parametrize("cost", [compute_bound, lambda _: Cost(compute_seconds=0.01)])
def test_peak_of_a_race_is_the_most_that_its_winner_held(cost: Callable[[Setting], Cost]) -> None:
    """Of texts padded by batch a warm-up meets the short ones, and the peak of its end was told."""

    def held(setting: Setting) -> Cost:
        return replace(cost(setting), longest_batch_bytes=7_000_000)

    result = run(SimulatedArena(held, machine=noisy()), CHANNELS_LAST, WORKERS)
    assert result.peak_memory_bytes == 7_000_000
    assert heats_of(result, "channels_last")[0].peak_memory_bytes == 7_000_000


def test_race_passes_over_knobs_that_cannot_move_the_bottleneck() -> None:
    arena = SimulatedArena(compute_bound)
    result = run(arena, WORKERS, CHANNELS_LAST)
    assert [heat.verdict for heat in heats_of(result, "num_workers")] == ["skipped"]
    assert "0% here" in heats_of(result, "num_workers")[0].reason
    assert all("num_workers" not in contestant.setting for contestant in arena.entered)


@pytest.mark.parametrize("arena", [SimulatedArena(compute_bound), LocalArena(lambda _: lambda: 1)])
def test_race_passes_over_a_knob_that_no_training_step_waits_for(arena: SimulatedArena | LocalArena) -> None:
    evaluation = Entry(KNOBS["validation_batch_size"], (64, 128))
    result = race(arena, RacePlan(entries=(evaluation,), baseline={"validation_batch_size": 64}))
    [heat] = result.heats
    assert (heat.verdict, heat.reason) == ("skipped", "no training step waits for what it changes")
    assert result.setting == {"validation_batch_size": 64}


def test_race_raises_workers_while_the_step_waits_for_data() -> None:
    result = run(SimulatedArena(input_bound, machine=noisy()), WORKERS)
    assert result.setting == {"num_workers": 4}
    assert result.diagnoses[0].kind == "input"
    assert result.diagnoses[-1].kind == "compute"


@pytest.mark.parametrize(("waits", "best"), [((0.02, 0.004, 0.012, 0.004), 1), ((0.02, 0.005, 0.012, 0.004), 4)])
def test_race_keeps_the_simpler_of_two_numbers_that_tie_whichever_it_tries_first(
    waits: tuple[float, ...], best: int
) -> None:
    """From two workers on it tries four before one."""
    wait_of = dict(zip(WORKERS.values, waits, strict=True))
    arena = SimulatedArena(lambda setting: Cost(compute_seconds=0.01, wait_seconds=wait_of[setting["num_workers"]]))
    result = run(arena, WORKERS, baseline={"num_workers": 2})
    assert result.setting == {"num_workers": best}
    assert heats_of(result, "num_workers")[0].changes == {"num_workers": 4}


def test_race_keeps_the_number_of_two_that_tie_which_is_nearer_to_what_torch_does() -> None:
    buckets = Entry(replace(KNOBS["ddp_bucket_cap_mb"], moves=("compute",)), (10, 25, 50, 100))
    arena = SimulatedArena(
        lambda setting: Cost(compute_seconds=0.02 if setting["ddp_bucket_cap_mb"] == 100 else 0.01),
    )
    assert run(arena, buckets, baseline={"ddp_bucket_cap_mb": 100}).setting == {"ddp_bucket_cap_mb": 25}


def test_race_opens_a_knob_that_means_something_only_beside_a_winner() -> None:
    def cost(setting: Setting) -> Cost:
        workers, prefetch = setting.get("num_workers", 0), setting.get("prefetch_factor", 2)
        wait = 0.03 if not workers else 0.01 if prefetch == 2 else 0.002
        return Cost(compute_seconds=0.01, wait_seconds=wait)

    result = run(SimulatedArena(cost), Entry(KNOBS["num_workers"], (0, 2)), PREFETCH)
    assert result.setting == {"num_workers": 2, "prefetch_factor": 4}


@pytest.mark.parametrize(("refused", "num_tried"), [("cache", 1), ("cache=memory", 2)])
def test_race_tries_no_other_value_of_a_knob_that_a_task_refuses_as_a_whole(refused: str, num_tried: int) -> None:
    failure = ContestantLostError("unsupported", f"InfeasibleError: {refused}: not with this task")

    def cost(setting: Setting) -> Cost:
        is_refused = setting.get("cache") == "memory" or (refused == "cache" and "cache" in setting)
        return Cost(compute_seconds=0.01, wait_seconds=0.01, failure=failure if is_refused else None)

    places = "off", "memory", "device"
    result = run(SimulatedArena(cost), Entry(knob("cache", *places, moves=("input",)), places))
    assert len(heats_of(result, "cache")) == num_tried
    assert heats_of(result, "cache")[0].verdict == "infeasible"


def test_race_lets_a_winner_and_its_runner_up_meet_face_to_face() -> None:
    """Each is a third faster than no workers, and two of them a tenth faster than one: too little to tell from afar."""

    def cost(setting: Setting) -> Cost:
        workers = int(str(setting.get("num_workers", 0)))
        return Cost(compute_seconds=0.02, wait_seconds={0: 0.012, 1: 0.005, 2: 0.0025}[workers])

    def run_noisily(seed: int) -> RaceResult:
        machine = SimulatedMachine(seed=seed, noises=(Jitter(0.1),))
        return run(SimulatedArena(cost, machine=machine), Entry(KNOBS["num_workers"], (0, 1, 2)))

    results = [run_noisily(seed) for seed in range(40)]
    heats = [heats_of(each, "num_workers") for each in results]
    again = [last for first, second, *more in heats if first.verdict == second.verdict == "kept" for last in more]
    assert again
    assert all(heat.gain is None or heat.gain.ratio < 1.25 for heat in again)
    assert sum(each.setting["num_workers"] == 2 for each in results) >= 36


@pytest.mark.parametrize("seed", range(5))
def test_race_leaves_out_in_the_end_what_gained_nothing_on_top_of_another_winner(seed: int) -> None:
    def cost(setting: Setting) -> Cost:
        is_faster = setting.get("channels_last") or setting.get("optimizer_impl") == "fused"
        return Cost(compute_seconds=0.008 if is_faster else 0.01)

    result = run(
        SimulatedArena(cost, machine=SimulatedMachine(seed=seed, noises=(Jitter(0.01),))), CHANNELS_LAST, FUSED
    )
    [together] = [heat for heat in result.heats if heat.stage == "stack"]
    left_out = [heat.changes.keys() for heat in result.heats if heat.stage == "simplify" and heat.verdict == "kept"]
    assert len(result.setting) == 1
    assert (together.verdict == "kept") == (together.changes.keys() in left_out)


def test_race_tries_a_runner_up_beside_a_winner_that_only_it_needs() -> None:
    """One worker is what a step waits for, however fast it computes; two are too many for a slow one."""

    def cost(setting: Setting) -> Cost:
        workers, is_fast = int(str(setting.get("num_workers", 0))), bool(setting.get("channels_last"))
        step = {0: 0.0305 - 0.0035 * is_fast, 1: 0.0252, 2: 0.0262 - 0.004 * is_fast}[workers]
        compute = 0.018 - 0.002 * is_fast
        return Cost(compute_seconds=compute, wait_seconds=step - compute)

    settings = []
    for seed in range(20):
        machine = SimulatedMachine(seed=seed, noises=(Jitter(0.01),))
        workers = Entry(KNOBS["num_workers"], (0, 1, 2))
        settings.append(run(SimulatedArena(cost, machine=machine), workers, CHANNELS_LAST).setting)
    assert settings.count({"num_workers": 2, "channels_last": True}) >= 15


PERSISTENT = Entry(KNOBS["persistent_workers"], (False, True))


@pytest.mark.parametrize("epoch_start_seconds", [0.0, 0.4])
def test_race_tries_workers_that_stay_and_then_whether_they_must(epoch_start_seconds: float) -> None:
    """Started anew for each epoch of 20 steps, they cost what they win."""

    def cost(setting: Setting) -> Cost:
        workers = int(str(setting.get("num_workers", 0)))
        is_anew = workers > 0 and not setting.get("persistent_workers")
        start = epoch_start_seconds if is_anew else 0.0
        return Cost(compute_seconds=0.01, wait_seconds=0.0 if workers else 0.02, epoch_start_seconds=start)

    arena = SimulatedArena(cost, machine=noisy(), steps_per_epoch=20)
    result = run(arena, WORKERS, PERSISTENT)
    assert heats_of(result, "num_workers")[0].changes == {"num_workers": 1, "persistent_workers": True}
    must_stay = {"persistent_workers": True} if epoch_start_seconds else {}
    assert result.setting == {"num_workers": 1, **must_stay}


def test_race_leaves_workers_as_they_stay_where_that_is_not_raced() -> None:
    """A spec may fix it, and a later race passes over what was not near; the race ended with a KeyError."""
    fixed: Setting = {"persistent_workers": True}
    result = run(SimulatedArena(input_bound, machine=noisy()), WORKERS, baseline=fixed)
    assert result.setting == {"num_workers": 4, **fixed}


@pytest.mark.parametrize(("wait_seconds", "first"), [(0.005, "num_workers"), (0.002, "channels_last")])
def test_race_feeds_a_step_first_where_it_waits_for_data_for_a_good_part(wait_seconds: float, first: str) -> None:
    result = run(
        SimulatedArena(lambda _: Cost(compute_seconds=0.01, wait_seconds=wait_seconds)), WORKERS, CHANNELS_LAST
    )
    assert first in next(heat for heat in result.heats if heat.stage == "screen").changes


def slow_to_load(setting: Setting) -> Cost:
    wait = 0.001 if setting.get("cache") == "memory" else 0.09
    return Cost(compute_seconds=0.01 / (setting.get("torch_threads", 1) or 1), wait_seconds=wait)  # type: ignore[operator]


def test_race_mends_the_loader_first_where_a_step_mostly_waits_for_data() -> None:
    threads = Entry(KNOBS["torch_threads"], (1, 2))
    first = next(heat for heat in run(SimulatedArena(slow_to_load), threads, WORKERS, CACHE).heats if heat.gain)
    assert first.changes == {"cache": "memory"}


def test_race_fills_no_cache_that_would_take_most_of_its_time() -> None:
    fills = Entry(replace(CACHE.knob, starts_with_a_pass=True, companions=()), CACHE.values)
    result = run(SimulatedArena(slow_to_load, steps_per_epoch=1000), fills, seconds=60)  # 1,000 steps of 0.1 s
    (heat,) = result.heats
    assert (heat.verdict, change_words(heat)) == ("skipped", "cache")
    assert heat.reason == "a first pass over the data takes about 90 s, too long where the race has 50 s left"
    assert run(SimulatedArena(slow_to_load), fills, seconds=90).setting["cache"] == "memory"


def test_race_never_joins_what_cannot_go_together() -> None:
    arena = SimulatedArena(input_bound)
    result = run(arena, WORKERS, CACHE)
    assert result.setting in ({"cache": "memory"}, {"num_workers": 4})
    for contestant in arena.entered:
        assert not (contestant.setting.get("cache") == "memory" and contestant.setting.get("num_workers", 0))


@pytest.mark.parametrize("kind", ["out of memory", "unsupported", "crashed", "hung"])
def test_race_records_a_setting_that_cannot_be_trained_with_and_goes_on(kind: str) -> None:
    def cost(setting: Setting) -> Cost:
        failure = ContestantLostError(kind, "no") if setting.get("optimizer_impl") == "foreach" else None  # type: ignore[arg-type]
        return Cost(compute_seconds=compute_bound(setting).compute_seconds, failure=failure)

    result = run(SimulatedArena(cost), FUSED)
    assert result.setting == {"optimizer_impl": "fused"}
    assert [(heat.verdict, heat.reason) for heat in result.heats if heat.setting == {"optimizer_impl": "foreach"}] == [
        ("infeasible", f"{kind}: no")
    ]


TOLD = EpochStarts(winner_seconds=0.2, baseline_seconds=0.0)


@pytest.mark.parametrize(("steps_per_epoch", "told"), [(100, None), (None, TOLD)])
def test_race_tells_of_epoch_starts_that_no_figure_has(steps_per_epoch: int | None, told: EpochStarts | None) -> None:
    """A stream has no length: nobody knows how many steps share a start."""

    def cost(setting: Setting) -> Cost:
        workers = bool(setting.get("num_workers"))
        return Cost(compute_seconds=0.01, wait_seconds=0.0 if workers else 0.03, epoch_start_seconds=0.2 * workers)

    result = run(SimulatedArena(cost, steps_per_epoch=steps_per_epoch), Entry(KNOBS["num_workers"], (0, 1)))
    assert result.setting == {"num_workers": 1}
    assert result.uncharged_starts == told
    assert result.split.epoch_starts == pytest.approx(0.0 if told else 0.2 / (0.2 + 100 * 0.01))


def test_value_that_hung_is_not_tried_again_beside_what_was_adopted_since() -> None:
    """In a race of a minute it would cost a quarter of that each time."""
    tried = list[Setting]()

    def cost(setting: Setting) -> Cost:
        tried.append(setting)
        hung = ContestantLostError("hung", "no end") if setting.get("torch_threads") == 2 else None
        seconds = 0.002 if setting.get("allocator") == "tcmalloc" else 0.01
        return Cost(compute_seconds=0.9 * seconds if setting.get("channels_last") else seconds, failure=hung)

    threads = Entry(KNOBS["torch_threads"], (1, 2))
    allocator = Entry(KNOBS["allocator"], ("default", "tcmalloc"))
    result = run(SimulatedArena(cost), threads, allocator, CHANNELS_LAST)
    assert result.setting == {"allocator": "tcmalloc", "channels_last": True}
    assert sum(setting.get("torch_threads") == 2 for setting in tried) == 1
    assert [heat.reason for heat in heats_of(result, "torch_threads")] == ["hung: no end"]


def test_race_goes_on_after_a_setting_that_dies_in_its_first_block() -> None:
    def cost(setting: Setting) -> Cost:
        failure = ContestantLostError("crashed", "no") if setting.get("optimizer_impl") == "foreach" else None
        return Cost(compute_seconds=compute_bound(setting).compute_seconds, block_failure=failure)

    result = run(SimulatedArena(cost), FUSED)
    assert result.setting == {"optimizer_impl": "fused"}


class HarmfulArena(SimulatedArena):
    """A contestant with ``foreach`` takes those down that are there when it enters."""

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        if setting.get("optimizer_impl") == "foreach":
            for contestant in self.entered:
                contestant.failure = ContestantLostError("crashed", "no")
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


def test_race_goes_on_where_the_setting_to_beat_is_lost_beside_another() -> None:
    arena = HarmfulArena(compute_bound)
    result = run(arena, FUSED, CHANNELS_LAST)
    assert result.setting == {"optimizer_impl": "fused", "channels_last": True}
    [heat] = heats_of(result, "optimizer_impl")[:1]
    assert heat.changes == {"optimizer_impl": "foreach"}
    assert heat.reason == "crashed: the setting to beat was lost beside it: no"
    assert all(contestant.is_retired for contestant in arena.entered)


@pytest.mark.parametrize("fails_at", ["failure", "block_failure"])
def test_race_whose_winner_is_lost_in_its_confirmation_keeps_the_baseline(fails_at: str) -> None:
    """What can't be started twice is no setting to train with; the race is not lost with it."""

    def cost(setting: Setting) -> Cost:
        is_fused = setting.get("optimizer_impl") == "fused"
        has_won = sum(contestant.setting == setting for contestant in arena.entered) >= 2
        failures = {fails_at: ContestantLostError("crashed", "no")} if is_fused and has_won else {}
        return Cost(compute_seconds=compute_bound(setting).compute_seconds, **failures)  # type: ignore[arg-type]

    arena = SimulatedArena(cost)
    result = run(arena, FUSED)
    assert result.setting == {}
    assert result.gain is None
    assert [(heat.stage, heat.verdict, heat.setting) for heat in result.heats][-1] == (
        "confirm",
        "infeasible",
        {"optimizer_impl": "fused"},
    )
    assert all(contestant.is_retired for contestant in arena.entered)


@pytest.mark.parametrize("start_seconds", [5.0, 15.0, 45.0, 70.0, 200.0])
@pytest.mark.parametrize("seconds", [30.0, 60.0])
def test_race_confirms_what_it_has_found_before_a_slow_start_that_would_end_it(
    seconds: float, start_seconds: float
) -> None:
    """A study ends a race at twice its seconds, and all that it had found was lost."""

    def cost(setting: Setting) -> Cost:
        is_compiled = "compile" in setting
        found = compute_bound(setting).compute_seconds
        return Cost(compute_seconds=found * (0.8 if is_compiled else 1.0), start_seconds=start_seconds * is_compiled)

    arena = SimulatedArena(cost, machine=noisy())
    result = run(arena, CHANNELS_LAST, FUSED, COMPILE, seconds=seconds, overrun=2.0, epochs=100_000)
    assert result.setting.items() >= {"channels_last": True, "optimizer_impl": "fused"}.items()
    assert result.gain is not None
    assert result.seconds <= 2 * seconds
    [heat] = [heat for heat in result.heats if heat.stage == "compile"]
    assert (heat.verdict == "infeasible") is (start_seconds > seconds)
    assert (result.setting.get("compile") == "default") is (heat.verdict == "kept")


def test_race_raises_where_the_baseline_itself_cannot_be_trained_with() -> None:
    lost = ContestantLostError("out of memory", "no")
    with pytest.raises(ContestantLostError, match="no"):
        run(SimulatedArena(lambda _: Cost(compute_seconds=1, failure=lost)), FUSED)


def test_race_goes_on_where_a_step_cannot_be_trained_with_half_a_batch() -> None:
    lost = ContestantLostError("crashed", "the mask is of 32 x 32")
    arena = SimulatedArena(lambda setting: replace(compute_bound(setting), half_failure=lost))
    result = run(arena, CHANNELS_LAST, FUSED)
    assert result.setting == {"channels_last": True, "optimizer_impl": "fused"}
    assert result.ended_by is None
    assert all(diagnosis.half_seconds is None for diagnosis in result.diagnoses)
    assert not [heat for heat in result.heats if heat.verdict == "infeasible"]
    assert sum(contestant.is_retired and not contestant.blocks[2:] for contestant in arena.entered) == 1


def test_race_goes_on_where_the_setting_to_beat_is_refused_while_its_bottleneck_is_looked_at() -> None:
    """A recorded step may show in any block that it is another one each time; the race went on with who was gone."""

    def cost(setting: Setting) -> Cost:
        found = compute_bound(setting).compute_seconds
        return Cost(compute_seconds=found * (0.5 if setting.get("allocator") == "retain" else 1.0))

    arena = SimulatedArena(cost)
    heard: list[Heat] = []

    def refuse_once(heat: Heat) -> None:
        if not heard:
            arena.entered[-1].failure = ContestantLostError("unsupported", "a step must change nothing on the host")
        heard.append(heat)

    plan = RacePlan(entries=(ALLOCATOR, CHANNELS_LAST), baseline={}, seconds=1e6)
    result = race(arena, plan, watch=RaceWatch(heat_over=refuse_once), clock=lambda: arena.machine.now)
    assert [heat.verdict for heat in heard[:2]] == ["kept", "infeasible"]
    assert result.setting == {"allocator": "retain", "channels_last": True}
    assert result.ended_by is None


def learns(setting: Setting, *, harm: float) -> Cost:
    is_reduced = setting.get("precision") == "bf16"

    def loss(seed: int, step: int) -> float:
        return 2.0 / (1 + 0.01 * step) + 0.02 * seed + (harm if is_reduced else 0.0)

    return Cost(compute_seconds=0.006 if is_reduced else 0.01, losses=loss)


def test_race_keeps_reduced_precision_whose_loss_stays_within_the_noise() -> None:
    result = run(SimulatedArena(lambda setting: learns(setting, harm=0.005)), PRECISION)
    assert result.setting == {"precision": "bf16"}
    assert result.reduced_precision == ("precision",)


@pytest.mark.parametrize(
    ("harm", "why"), [(0.5, "outside full precision's own noise"), (float("nan"), "can't be judged: it was not finite")]
)
def test_race_rejects_reduced_precision_that_learns_worse(harm: float, why: str) -> None:
    result = run(SimulatedArena(lambda setting: learns(setting, harm=harm)), PRECISION)
    assert result.setting == {}
    assert why in heats_of(result, "precision")[0].reason


def test_race_rejects_reduced_precision_that_cannot_be_judged() -> None:
    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=0.006 if setting.get("precision") == "bf16" else 0.01)

    assert run(SimulatedArena(cost), PRECISION).setting == {}


MATMUL = Entry(KNOBS["fp32_precision_matmul"], ("ieee", "tf32"))
CONV = Entry(KNOBS["fp32_precision_conv"], ("ieee", "tf32"))
OWN_DIGITS = Entry(knob("digits", "many", "few", numerics="reduced precision"), ("many", "few"))


def learns_with_few_digits(setting: Setting, *, harms: Setting) -> Cost:
    """Each of these values is twice as fast, and adds so much to the loss."""
    shortened = [name for name in harms if setting.get(name) in {"bf16", "tf32", "few"}]
    harm = sum(float(str(harms[name])) for name in shortened)

    def loss(seed: int, step: int) -> float:
        return 2.0 / (1 + 0.01 * step) + 0.02 * seed + harm

    return Cost(compute_seconds=0.01 * 0.5 ** len(shortened), losses=loss)


def test_race_judges_what_several_reduced_precisions_do_to_the_loss_together() -> None:
    harms = {"fp32_precision_matmul": 0.03, "precision": 0.03}  # the noise is 0.04
    result = run(SimulatedArena(lambda setting: learns_with_few_digits(setting, harms=harms)), MATMUL, PRECISION)
    assert len(result.reduced_precision) == 1
    refused = [heat for heat in result.heats if {"precision", "fp32_precision_matmul"} <= heat.setting.keys()]
    assert all("outside full precision's own noise" in heat.reason for heat in refused)
    assert refused


def test_race_judges_the_reduced_precision_of_a_setting_that_won_elsewhere() -> None:
    arena = SimulatedArena(lambda setting: learns(setting, harm=0.5))
    result = run(arena, PRECISION, start={"precision": "bf16"})
    assert (result.heats[0].stage, result.heats[0].verdict) == ("start", "rejected")
    assert result.setting == {}


def test_race_adopts_no_reduced_precision_at_first_sight() -> None:
    result = run(SimulatedArena(lambda setting: learns_with_few_digits(setting, harms={"digits": 0.5})), OWN_DIGITS)
    assert "outside full precision's own noise" in result.heats[0].reason
    assert result.setting == {}


OWN_ATTENTION = Entry(
    knob(
        "attention",
        "plain",
        "flash",
        numerics="reordered",
        moves=("input", "launch", "compute"),
        companions=(Companion("flash", "precision", ("bf16",)),),
    ),
    ("plain", "flash"),
)


@pytest.mark.parametrize(("harm", "setting"), [(0.5, {}), (0.005, {"attention": "flash", "precision": "bf16"})])
def test_race_judges_fewer_digits_that_come_with_what_is_faster_at_first_sight(harm: float, setting: Setting) -> None:
    """A knob that may move everything brought bf16 along, and was adopted after two looks."""
    result = run(SimulatedArena(lambda tried: learns(tried, harm=harm)), OWN_ATTENTION, PRECISION)
    assert result.setting == setting
    assert not any("at first sight" in heat.reason for heat in result.heats)


@pytest.mark.parametrize(("harm", "is_kept"), [(0.5, False), (0.005, True)])
def test_race_judges_fewer_digits_that_come_with_a_recorded_step(harm: float, *, is_kept: bool) -> None:
    """A recorded step goes with no fp16, so that it brings bf16 along, whose digits are other and fewer ones."""

    def cost(setting: Setting) -> Cost:
        is_recorded = bool(setting.get("cuda_graph"))
        return replace(learns(setting, harm=harm), compute_seconds=0.001, launch_seconds=0.0 if is_recorded else 0.01)

    graph, precision = Entry(KNOBS["cuda_graph"], (False, True)), Entry(KNOBS["precision"], ("fp16", "bf16"))
    result = run(SimulatedArena(cost), graph, precision, baseline={"precision": "fp16"})
    assert bool(result.setting.get("cuda_graph")) is is_kept
    assert result.reduced_precision == (("precision",) if is_kept else ())


@pytest.mark.parametrize(
    ("entry", "baseline"), [(PRECISION, {"precision": "bf16"}), (CONV, {"fp32_precision_conv": "tf32"})]
)
def test_race_whose_winner_has_all_digits_names_no_reduced_precision(entry: Entry, baseline: Setting) -> None:
    [(name, value)] = baseline.items()
    arena = SimulatedArena(lambda setting: Cost(compute_seconds=0.02 if setting.get(name) == value else 0.01))
    result = run(arena, entry, baseline=baseline)
    assert result.kept == {name: entry.values[0]}
    assert result.reduced_precision == ()


def test_race_judges_fewer_digits_beside_the_full_precision_of_the_same_setting() -> None:
    """Workers that were adopted in between train on other batches, which digits were refused for."""

    def cost(setting: Setting) -> Cost:
        has_workers, is_short = bool(setting.get("num_workers")), setting.get("fp32_precision_matmul") == "tf32"

        def loss(seed: int, step: int) -> float:
            return 2.0 / (1 + 0.01 * step) + 0.02 * seed + 0.5 * is_short + 0.3 * has_workers

        compute = 0.01 * (0.8 if is_short else 1.0) * (0.6 if setting.get("precision") == "bf16" else 1.0)
        return Cost(compute_seconds=compute, wait_seconds=0.0 if has_workers else 0.01, losses=loss)

    entries = (replace(WORKERS, values=(0, 1)), MATMUL, PRECISION)
    result = run(SimulatedArena(cost), *entries, guess={"fp32_precision_matmul": "tf32"})
    assert [heat.verdict for heat in result.heats if heat.stage == "start"] == ["rejected"]
    assert result.setting == {"num_workers": 1, "precision": "bf16"}


@pytest.mark.parametrize("start_seconds", [0.5, 1.0, 2.0, 3.0])
def test_race_is_over_before_it_is_ended_where_the_loss_of_fewer_digits_takes_long_to_judge(
    start_seconds: float,
) -> None:
    """Thirty steps on three seeds, by either: a study's race was ended in them, and lost what it had found."""

    def cost(setting: Setting) -> Cost:
        found = learns(setting, harm=0.005)
        factor = 0.8 if setting.get("channels_last") else 1.0
        return replace(found, compute_seconds=0.05 * factor * found.compute_seconds / 0.01)

    class Late(SimulatedArena):
        def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
            self.machine.now += start_seconds
            return super().enter(setting, seed=seed, limit_seconds=limit_seconds)

    guess: Setting = {"precision": "bf16", "channels_last": True}
    result = run(Late(cost), PRECISION, CHANNELS_LAST, guess=guess, seconds=12.0, overrun=2.0)
    assert result.seconds <= 24.0
    assert result.setting.get("channels_last") is True
    refused = [heat for heat in result.heats if "no time is left to judge its loss" in heat.reason]
    assert bool(refused) is ("precision" not in result.setting)


def test_race_leaves_out_no_digits_that_make_up_for_what_others_do_to_the_loss() -> None:
    """Together they learn as well. One of them makes nothing faster; without it nobody has judged the other."""

    def cost(setting: Setting) -> Cost:
        is_half, is_short = setting.get("precision") == "bf16", setting.get("fp32_precision_matmul") == "tf32"

        def loss(seed: int, step: int) -> float:
            return 2.0 / (1 + 0.01 * step) + 0.02 * seed + 0.06 * is_half - 0.06 * is_short

        return Cost(compute_seconds=0.005 if is_half else 0.01, losses=loss)

    guess = {"precision": "bf16", "fp32_precision_matmul": "tf32"}
    result = run(SimulatedArena(cost), PRECISION, MATMUL, guess=guess)
    assert result.setting == guess
    [doubted] = [heat for heat in result.heats if heat.changes == {"fp32_precision_matmul": None}]
    assert doubted.reason == "no slower, but its loss differs by +0.06, outside full precision's own noise of 0.04"


def test_race_judges_the_same_digits_once() -> None:
    arena = SimulatedArena(lambda setting: learns(setting, harm=0.005))
    run(arena, PRECISION, CHANNELS_LAST, start={"precision": "bf16"})
    judged = [
        blocks for blocks in ([*entered.blocks] for entered in arena.entered) if [b.steps for b in blocks] == [30]
    ]
    assert len(judged) == 6


def compiled(setting: Setting) -> Cost:
    is_compiled = setting.get("compile") == "default"
    return Cost(compute_seconds=0.005 if is_compiled else 0.01, start_seconds=30.0 if is_compiled else 0.1)


def test_race_compiles_where_the_steps_that_remain_repay_it() -> None:
    result = run(SimulatedArena(compiled), COMPILE, epochs=100)
    assert result.setting == {"compile": "default"}
    (break_even,) = result.break_evens
    assert break_even.steps == pytest.approx(29.9 / 0.005, rel=0.01)
    assert break_even.steps_that_remain == 10_000


def test_race_does_not_compile_for_a_run_that_ends_before_it_is_repaid() -> None:
    result = run(SimulatedArena(compiled), COMPILE, epochs=30)
    assert result.setting == {}
    assert result.break_evens[0].steps_that_remain == 3_000


@pytest.mark.parametrize("length", [{"run_seconds": 30.0}, {"run_samples": 3_000 * 32}])
def test_race_counts_the_steps_that_a_run_in_seconds_or_samples_has(length: dict[str, Any]) -> None:
    result = run(SimulatedArena(compiled), COMPILE, epochs=1000, **length)
    assert result.setting == {}
    assert result.break_evens[0].steps_that_remain == pytest.approx(3_000, rel=0.01)


def test_race_counts_the_steps_of_a_run_in_seconds_where_the_loader_tells_no_length() -> None:
    arena = SimulatedArena(compiled, steps_per_epoch=None)
    assert run(arena, COMPILE, epochs=1000, run_seconds=600.0).setting == {"compile": "default"}


def test_race_does_not_compile_for_a_run_of_unknown_length() -> None:
    result = run(SimulatedArena(compiled, steps_per_epoch=None), COMPILE, epochs=1000)
    assert [heat.reason for heat in result.heats] == ["nobody knows how many steps a run has"]


def test_race_does_not_even_try_to_compile_for_a_short_run() -> None:
    arena = SimulatedArena(compiled)
    result = run(arena, COMPILE, epochs=1)
    assert all("compile" not in contestant.setting for contestant in arena.entered)
    assert [heat.verdict for heat in result.heats] == ["skipped"]


def test_race_charges_the_epochs_start() -> None:
    def cost(setting: Setting) -> Cost:
        is_kept = setting.get("persistent_workers")
        return Cost(compute_seconds=0.01, wait_seconds=0.01, epoch_start_seconds=0.0 if is_kept else 1.0)

    entry = Entry(KNOBS["persistent_workers"], (False, True))
    workers = Entry(KNOBS["num_workers"], (2,))
    baseline = {"num_workers": 2}
    assert run(SimulatedArena(cost), workers, entry, baseline=baseline).setting == {
        "num_workers": 2,
        "persistent_workers": True,
    }


def test_race_starts_from_a_setting_that_won_elsewhere() -> None:
    start = {"channels_last": True}
    result = run(SimulatedArena(compute_bound), CHANNELS_LAST, FUSED, start=start)
    assert result.heats[0].stage == "start"
    assert result.setting == {"channels_last": True, "optimizer_impl": "fused"}


@pytest.mark.parametrize(
    ("compiling", "is_compiled"), [(0.9, False), (0.4, True)], ids=["it gains little", "it gains much"]
)
def test_race_compiles_what_won_elsewhere_only_where_that_repays_itself(*, compiling: float, is_compiled: bool) -> None:
    """The gain of all that had won was held against what compiling costs, which made 5 s up by a part of 60."""

    def cost(setting: Setting) -> Cost:
        compute = 0.01 * (0.5 if setting.get("channels_last") else 1.0)
        if setting.get("compile") == "default":
            return Cost(compute_seconds=compute * compiling, start_seconds=25.0)
        return Cost(compute_seconds=compute, start_seconds=0.1)

    start: Setting = {"channels_last": True, "compile": "default"}
    result = run(SimulatedArena(cost), CHANNELS_LAST, COMPILE, start=start, epochs=100)
    assert result.setting == (start if is_compiled else {"channels_last": True})
    assert [heat.verdict for heat in result.heats[:2]] == ["kept", "kept" if is_compiled else "rejected"]
    (break_even,) = result.break_evens
    assert break_even.steps == pytest.approx(24.9 / (0.005 * (1 - compiling)), rel=0.01)


class Unsteady(SimulatedArena):
    """Until ``fused`` is tried, what is not in channels_last is disturbed, and seems the slower: it is the faster."""

    def __init__(self, *, seed: int) -> None:
        super().__init__(self._cost_of, machine=SimulatedMachine(seed=seed, noises=(Jitter(0.005),)))

    @staticmethod
    def _cost_of(setting: Setting) -> Cost:
        factor = 1.06 if setting.get("channels_last") else 1.0
        return Cost(compute_seconds=0.01 * factor * (0.75 if setting.get("optimizer_impl") == "fused" else 1.0))

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        contestant = super().enter(setting, seed=seed, limit_seconds=limit_seconds)
        train = contestant.run_block

        def run_block(*, seconds: float, min_steps: int, feed: Feed = "real") -> Block:
            is_steady = any(each.setting.get("optimizer_impl") == "fused" for each in self.entered)
            is_hit = not is_steady and not contestant.setting.get("channels_last")
            contestant._factor = self.machine.generator.uniform(1.0, 1.6) if is_hit else 1.0  # noqa: SLF001
            return train(seconds=seconds, min_steps=min_steps, feed=feed)

        contestant.run_block = run_block  # type: ignore[method-assign]
        return contestant


def test_race_leaves_out_what_won_in_a_noisy_moment_and_slows_it_at_all_others() -> None:
    """Two threads lost to one in three quads beside another program, and were the faster by 5 % when that had ended."""
    deceived = []
    for seed in range(20):
        result = run(Unsteady(seed=seed), CHANNELS_LAST, FUSED)
        first = heats_of(result, "channels_last")[0]
        if first.verdict == "kept" and first.gain is not None and first.gain.high / first.gain.low > 1.25:
            deceived.append(result)
    assert len(deceived) >= 5
    assert all(result.setting == {"optimizer_impl": "fused"} for result in deceived)


def test_race_measures_the_winner_against_the_informed_setting() -> None:
    result = run(SimulatedArena(compute_bound), CHANNELS_LAST, FUSED, informed={"channels_last": True})
    assert result.informed_gain is not None
    assert result.informed_gain.ratio == pytest.approx(1 / 0.9, rel=0.01)
    assert result.guess_refusal is None


def test_winner_that_ties_with_an_informed_setting_stays_and_is_said_to() -> None:
    """It was said to be rejected, and that the setting to beat stays."""
    guess: Setting = {"channels_last": True, "optimizer_impl": "foreach"}
    result = run(SimulatedArena(compute_bound), CHANNELS_LAST, informed=guess)
    (heat,) = (heat for heat in result.heats if heat.stage == "informed")
    assert result.setting == {"channels_last": True}
    assert (heat.verdict, heat.reason) == ("kept", "a tie: the winner stays")


@pytest.mark.parametrize("entry", [WORKERS, FUSED], ids=["nothing won", "something won"])
def test_race_takes_an_informed_setting_that_is_surely_faster_than_its_winner(entry: Entry) -> None:
    result = run(SimulatedArena(compute_bound, machine=noisy()), entry, informed={"channels_last": True})
    assert result.setting == {"channels_last": True}
    assert result.gain is not None
    assert result.gain.ratio == pytest.approx(1 / 0.8, rel=0.05)
    assert result.gain.low < 1 / 0.8 < result.gain.high
    assert result.samples_per_second == pytest.approx(32 / 0.008, rel=0.05)
    assert result.informed_gain is None
    assert [heat.reason for heat in result.heats if heat.stage == "informed"] == ["the guess is faster"]


@pytest.mark.parametrize("entry", [WORKERS, FUSED], ids=["nothing won", "something won"])
def test_race_that_takes_an_informed_setting_names_what_of_it_is_in_force(entry: Entry) -> None:
    def cost(setting: Setting) -> Cost:
        return replace(compute_bound(setting), in_force={**setting, "pin_memory": "unused by the task"})

    informed: Setting = {"channels_last": True, "pin_memory": True}
    result = run(SimulatedArena(cost, machine=noisy()), entry, informed=informed)
    assert result.setting == {"channels_last": True}
    assert result.gain is not None


def test_gain_over_an_informed_setting_is_told_over_what_of_it_is_in_force() -> None:
    """A loop that reads no precision was said to be so many times as fast as bf16."""

    def cost(setting: Setting) -> Cost:
        return replace(compute_bound(setting), in_force={**setting, "precision": "unused by the task"})

    informed: Setting = {"channels_last": True, "precision": "bf16"}
    result = run(SimulatedArena(cost), CHANNELS_LAST, FUSED, PRECISION, informed=informed)
    (heat,) = (heat for heat in result.heats if heat.stage == "informed")
    assert heat.changes == result.informed == {"channels_last": True}
    assert result.informed_gain is not None
    assert result.informed_gain.ratio == pytest.approx(1 / 0.9, rel=0.01)


@pytest.mark.parametrize(
    ("informed", "reason"),
    [
        ({"pin_memory": True}, "nothing of it takes hold here"),
        ({"pin_memory": True, "channels_last": True}, "what of it takes hold here is the winner itself"),
    ],
    ids=["the baseline", "the winner"],
)
def test_informed_setting_is_not_measured_where_what_of_it_is_in_force_is_known(informed: Setting, reason: str) -> None:
    def cost(setting: Setting) -> Cost:
        return replace(compute_bound(setting), in_force={**setting, "pin_memory": "unused by the task"})

    result = run(SimulatedArena(cost), CHANNELS_LAST, informed=informed)
    (heat,) = (heat for heat in result.heats if heat.stage == "informed")
    assert (heat.verdict, heat.reason, heat.changes) == ("skipped", reason, informed)
    assert (result.setting, result.informed_gain) == ({"channels_last": True}, None)
    assert result.gain is not None
    assert not result.had_no_time_for_informed
    assert result.is_informed_setting == ("channels_last" in informed)


def test_race_takes_nothing_over_from_an_informed_setting_of_which_nothing_is_in_force() -> None:
    def cost(setting: Setting) -> Cost:
        quicker = 0.8 if setting.get("pin_memory") else 1.0  # a moment of the machine's
        return Cost(compute_seconds=0.01 * quicker, in_force={"pin_memory": "unused by the task"})

    result = run(SimulatedArena(cost), FUSED, informed={"pin_memory": True})
    assert (result.setting, result.gain, result.informed_gain) == ({}, None, None)


def test_informed_setting_that_is_taken_is_not_started_again_for_its_figures() -> None:
    """A race of 12 s took 22 where it starts slowly."""

    def cost(setting: Setting) -> Cost:
        is_guess = bool(setting.get("channels_last"))
        return Cost(compute_seconds=0.007 if is_guess else 0.01, start_seconds=6.0 if is_guess else 2.0)

    arena = SimulatedArena(cost, machine=noisy())
    result = run(arena, FUSED, informed={"channels_last": True}, seconds=12.0)
    assert (result.setting, result.informed_gain) == ({"channels_last": True}, None)
    assert result.samples_per_second == pytest.approx(32 / 0.007, rel=0.05)
    assert result.baseline_samples_per_second == pytest.approx(32 / 0.01, rel=0.05)
    assert [contestant.setting for contestant in arena.entered].count({"channels_last": True}) == 1


def test_race_takes_no_informed_setting_with_digits_that_learn_worse() -> None:
    result = run(SimulatedArena(lambda setting: learns(setting, harm=0.5)), PRECISION, informed={"precision": "bf16"})
    assert result.setting == {}
    assert result.informed_gain is not None
    assert result.informed_gain.ratio < 0.7
    assert result.guess_refusal == (
        "it computes with fewer digits (precision), "
        "and its loss differs by +0.5, outside full precision's own noise of 0.04"
    )


def test_race_takes_no_informed_setting_with_digits_that_nobody_has_judged() -> None:
    informed = {"precision": "bf16", "fp32_precision_matmul": "tf32"}  # the former was judged, beside the baseline
    result = run(SimulatedArena(lambda setting: learns(setting, harm=0.5)), PRECISION, MATMUL, informed=informed)
    assert result.setting == {}
    digits = "precision, fp32_precision_matmul"
    assert result.guess_refusal == f"it computes with fewer digits ({digits}), and its loss was not judged"


def test_race_takes_an_informed_setting_with_digits_that_it_has_judged() -> None:
    def cost(setting: Setting) -> Cost:
        learned = learns(setting, harm=0.005)
        are_both = bool(setting.get("channels_last")) and setting.get("optimizer_impl") == "fused"
        return replace(learned, compute_seconds=learned.compute_seconds * (0.7 if are_both else 1.0))

    informed = {"precision": "bf16", "channels_last": True, "optimizer_impl": "fused"}
    result = run(SimulatedArena(cost, machine=noisy()), PRECISION, CHANNELS_LAST, FUSED, informed=informed)
    assert heats_of(result, "precision")[0].verdict == "kept"
    assert result.setting == informed
    assert result.guess_refusal is None


def test_race_whose_time_is_up_confirms_what_it_has() -> None:
    arena = SimulatedArena(compute_bound)
    result = run(arena, CHANNELS_LAST, FUSED, seconds=7.0)
    assert result.is_cut_short
    assert result.setting in ({"channels_last": True}, {})
    assert arena.machine.now < 60


def test_race_retires_every_contestant() -> None:
    arena = SimulatedArena(compute_bound)
    run(arena, CHANNELS_LAST, FUSED, WORKERS)
    assert all(contestant.is_retired for contestant in arena.entered)


def test_race_that_its_watch_ends_retires_every_contestant() -> None:
    arena = SimulatedArena(compute_bound)

    def stop(heat: Heat) -> None:
        raise KeyboardInterrupt(heat.reason)

    plan = RacePlan(entries=(CHANNELS_LAST, FUSED), baseline={})
    with pytest.raises(KeyboardInterrupt, match="faster"):
        race(arena, plan, watch=RaceWatch(heat_over=stop))
    assert all(contestant.is_retired for contestant in arena.entered)


def test_race_tells_what_each_heat_tries_before_it_is_over() -> None:
    told: list[tuple[str, ...]] = []
    watch = RaceWatch(
        heat_begun=lambda stage, changes: told.append(("begun", stage, *changes)),
        heat_over=lambda heat: told.append(("over", heat.stage, *heat.changes)),
    )
    race(SimulatedArena(compute_bound), RacePlan(entries=(CHANNELS_LAST,), baseline={}), watch=watch)
    screened, confirmed = ("screen", "channels_last"), ("confirm", "channels_last")
    assert told == [(when, *what) for what in (screened, confirmed) for when in ("begun", "over")]


def test_race_result_survives_json() -> None:
    result = run(SimulatedArena(compute_bound), CHANNELS_LAST, FUSED)
    assert RaceResult.model_validate_json(result.model_dump_json()) == result


def test_race_does_not_time_a_knob_that_does_not_take_hold() -> None:
    def cost(setting: Setting) -> Cost:
        del setting
        return Cost(compute_seconds=0.01, in_force={"channels_last": False})

    arena = SimulatedArena(cost)
    result = run(arena, CHANNELS_LAST)
    (heat,) = result.heats
    assert (heat.verdict, heat.reason) == ("rejected", "it does not take hold: channels_last is false here")
    assert arena.entered[-1].blocks == []


@pytest.mark.parametrize("is_in_baseline", [True, False])
def test_race_starts_nothing_more_for_a_knob_that_the_task_never_reads(is_in_baseline: bool) -> None:  # noqa: FBT001
    """Each value of it was started, warmed up and rejected for the same reason."""

    def cost(setting: Setting) -> Cost:
        unread = {name: UNREAD for name in setting if name == "prefetch_factor"}
        return Cost(compute_seconds=0.001, wait_seconds=0.01, in_force={**setting, **unread})

    arena = SimulatedArena(cost)
    prefetch = Entry(KNOBS["prefetch_factor"], (2, 4, 8, 16))
    workers = {"num_workers": 1, **({"prefetch_factor": 2} if is_in_baseline else {})}
    result = run(arena, prefetch, baseline=workers)
    (heat,) = result.heats
    assert heat.verdict == ("skipped" if is_in_baseline else "rejected")
    assert heat.reason == "it does not take hold: prefetch_factor is unused by the task here"
    entered = [each.setting["prefetch_factor"] for each in arena.entered if each.setting.get("prefetch_factor", 2) != 2]
    assert entered == ([] if is_in_baseline else [4])


def test_race_tries_a_knob_that_a_training_with_another_one_does_not_read() -> None:
    """Beside a cache nobody asks for the number of workers; no worker was tried any more after that."""

    def cost(setting: Setting) -> Cost:
        is_cached = setting.get("cache") == "memory"
        unread = {"num_workers": UNREAD} if is_cached else {}
        wait = 0.03 if is_cached or not setting.get("num_workers") else 0.0
        return Cost(compute_seconds=0.01, wait_seconds=wait, in_force={**setting, **unread})

    arena = SimulatedArena(cost)
    result = run(arena, CACHE, WORKERS, baseline={"num_workers": 0})
    order = [(each.setting.get("cache", "off"), each.setting["num_workers"]) for each in arena.entered]
    assert order.index(("memory", 0)) < order.index(("off", 1))
    assert result.setting["num_workers"] == 1


THREADS = Entry(KNOBS["torch_threads"], (1, 2))


def threads(setting: Setting) -> Cost:
    is_crowded = setting.get("torch_threads", 2) == 2
    seconds = 0.06 if is_crowded else 0.008
    return Cost(compute_seconds=seconds * (0.8 if setting.get("channels_last") else 1.0))


@pytest.mark.parametrize(
    ("cost", "reason"),
    [
        (threads, "7.5 times faster at first sight"),
        (lambda _: Cost(compute_seconds=0.01), "a tie"),
        (
            lambda setting: Cost(compute_seconds=0.1 if setting.get("channels_last") else 0.01),
            "10.0 times slower at first",
        ),
    ],
)
def test_each_figure_of_a_race_has_what_was_around_it(cost: Callable[[Setting], Cost], reason: str) -> None:
    result = run(SimulatedArena(cost), CHANNELS_LAST, THREADS, baseline={"torch_threads": 2})
    assert any(heat.reason.startswith(reason) for heat in result.heats)
    assert {heat.surroundings.load if heat.surroundings else None for heat in result.heats} == {(1.0, 1.0)}
    assert result.surroundings is not None
    assert result.surroundings.load == (1.0, 1.0)


def test_race_takes_what_is_faster_at_first_sight_before_it_compares_anything() -> None:
    arena = SimulatedArena(threads)
    result = run(arena, CHANNELS_LAST, THREADS, baseline={"torch_threads": 2})
    assert result.setting == {"torch_threads": 1, "channels_last": True}
    assert result.heats[0].reason == "7.5 times faster at first sight"
    assert result.heats[0].samples_per_second == pytest.approx(32 / 0.008)
    assert [diagnosis.real_seconds for diagnosis in result.diagnoses[:2]] == pytest.approx([0.06, 0.008])
    assert result.gain is not None
    assert result.gain.ratio == pytest.approx(7.5 / 0.8)


def test_race_measures_a_baseline_that_is_slower_by_far_no_longer_than_is_sure() -> None:
    result = run(SimulatedArena(threads, machine=noisy()), THREADS, baseline={"torch_threads": 2})
    assert result.gain is not None
    assert result.gain.num_quads < Pace().confirm_quads
    assert result.gain.low > 5


@pytest.mark.parametrize("seed", range(5))
def test_race_confirms_a_large_gain_until_its_figure_is_not_vague(seed: int) -> None:
    machine = SimulatedMachine(seed=seed, noises=(Jitter(0.2),))
    result = run(SimulatedArena(threads, machine=machine), THREADS, baseline={"torch_threads": 2})
    assert result.gain is not None
    assert result.gain.low > 3
    assert not result.gain.is_vague


def test_race_measures_a_gain_no_longer_than_until_it_is_known_well() -> None:
    result = run(SimulatedArena(compute_bound, machine=SimulatedMachine(noises=(Jitter(0.001),))), CHANNELS_LAST)
    assert result.gain is not None
    assert result.gain.num_quads < Pace().confirm_quads
    assert result.gain.high <= 1.04 * result.gain.low


class Turning(SimulatedArena):
    """Once the guess was met it is slow, and the winner can't be started again."""

    is_met = False

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        if self.is_met and "channels_last" in setting:
            raise ContestantLostError("crashed", "gone")
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


def test_winner_stays_where_a_guess_that_beat_it_does_not_beat_the_baseline() -> None:
    """It was started once more for nothing, and forgotten where that failed."""

    def cost(setting: Setting) -> Cost:
        guess = 0.02 if arena.is_met else 0.007
        return Cost(compute_seconds=guess if "optimizer_impl" in setting else 0.008 if setting else 0.01)

    def note(heat: Heat) -> None:
        arena.is_met = arena.is_met or heat.stage == "informed"

    arena = Turning(cost)
    guess: Setting = {"optimizer_impl": "fused"}
    plan = RacePlan(entries=(CHANNELS_LAST,), baseline={}, informed=guess, seconds=1e6)
    result = race(arena, plan, watch=RaceWatch(heat_over=note), clock=lambda: arena.machine.now)
    assert result.guess_refusal == "beside the baseline it was not surely faster"
    assert result.setting == {"channels_last": True}
    assert result.gain is not None
    assert result.gain.ratio == pytest.approx(1.25)


def test_race_ends_a_heat_whose_challenger_is_no_faster_so_far() -> None:
    slower = SimulatedArena(
        lambda setting: Cost(compute_seconds=0.0101 if setting.get("channels_last") else 0.01),
        machine=SimulatedMachine(noises=(Jitter(0.1),)),
    )
    heats = heats_of(run(slower, CHANNELS_LAST), "channels_last")
    assert len(heats) == 2  # and looks once more, with the time that it has left
    for heat in heats:
        assert heat.gain is not None
        assert heat.gain.num_quads < Pace().screen_quads
        assert (heat.verdict, heat.reason) == ("rejected", "not surely faster: the setting to beat stays")


@dataclass
class Disturbed:
    """Other programs take the cores from a block now and then, up to a moment."""

    until: float

    def factor(self, now: float, generator: random.Random) -> float:
        return math.exp(abs(generator.gauss(0.0, 0.5))) if now < self.until else math.exp(generator.gauss(0.0, 0.003))


@pytest.mark.parametrize("until", [5.0, 6.0])
def test_race_looks_at_the_noise_again_where_it_alone_speaks_against_a_gain(until: float) -> None:
    """Eight quads that were disturbed would hide every gain that comes after them."""
    arena = SimulatedArena(
        lambda setting: Cost(compute_seconds=0.01 / (1.04 if setting.get("channels_last") else 1.0)),
        machine=SimulatedMachine(noises=(Disturbed(until=until),)),
    )
    result = run(arena, CHANNELS_LAST, FUSED)
    assert result.setting == {"channels_last": True}
    assert result.noise_floor is not None
    assert result.noise_floor < 0.05


def test_race_needs_no_second_look_at_the_noise_for_a_gain_far_beyond_it() -> None:
    arena = SimulatedArena(
        lambda setting: Cost(compute_seconds=0.01 / (1.1 if setting.get("channels_last") else 1.0)),
        machine=SimulatedMachine(noises=(Disturbed(until=5.0),)),
    )
    result = run(arena, CHANNELS_LAST)
    assert result.setting == {"channels_last": True}
    assert result.noise_floor is not None
    assert result.noise_floor > 0.2  # as it was seen first, and the gain is within it


def test_race_of_little_time_tries_what_moves_everything_first() -> None:
    result = run(SimulatedArena(threads), CHANNELS_LAST, THREADS, baseline={"torch_threads": 2}, seconds=30.0)
    assert result.setting["torch_threads"] == 1


@pytest.mark.parametrize("seconds", [20.0, 25.0, 30.0, 40.0])
def test_race_begins_no_heat_that_would_end_too_late(seconds: float) -> None:
    knobs = [Entry(knob(f"knob_{number}", "off", "on"), ("off", "on")) for number in range(24)]
    result = run(SimulatedArena(compute_bound), *knobs, seconds=seconds, informed={"channels_last": True})
    assert result.is_cut_short
    assert seconds / 2 < result.seconds <= seconds
    assert (result.seconds_given, result.seconds_late) == (seconds, 0)


@pytest.mark.parametrize("seconds", range(36, 60, 4))
def test_race_keeps_time_to_put_winners_together(seconds: float) -> None:
    """Screening would take what time there is, and the race end with the best winner alone."""
    fast = {"knob_0", "knob_3"}
    knobs = [Entry(knob(f"knob_{number}", "off", "on"), ("off", "on")) for number in range(12)]
    arena = SimulatedArena(
        lambda setting: Cost(compute_seconds=0.03 * 0.85 ** sum(setting.get(name) == "on" for name in fast)),
        machine=noisy(3),
    )
    result = run(arena, *knobs, seconds=seconds, informed={"knob_5": "on"})
    assert result.setting.items() >= dict.fromkeys(fast, "on").items()
    assert result.seconds <= 1.05 * seconds


def test_race_whose_time_is_up_does_not_measure_the_noise() -> None:
    result = run(SimulatedArena(compute_bound), CHANNELS_LAST, FUSED, seconds=0.1)
    assert result.is_cut_short
    assert result.noise_floor is None
    assert result.heats == ()


def test_race_keeps_time_for_compiling_where_a_run_repays_it() -> None:
    """Without that, screening takes what there is, and the largest gain is never tried."""
    knobs = [Entry(knob(f"knob_{number}", "off", "on"), ("off", "on")) for number in range(20)]
    result = run(SimulatedArena(compiled), *knobs, COMPILE, epochs=100, seconds=100.0)
    assert result.setting == {"compile": "default"}
    assert result.is_cut_short


def test_race_begins_no_mode_of_compiling_for_which_no_time_is_left() -> None:
    arena = SimulatedArena(compiled)
    modes = Entry(KNOBS["compile"], ("off", "default", "max-autotune"))
    result = run(arena, modes, epochs=100, seconds=100.0)
    assert result.setting == {"compile": "default"}
    assert all(contestant.setting.get("compile") != "max-autotune" for contestant in arena.entered)
    assert result.is_cut_short


def searching(setting: Setting) -> Cost:
    """cuDNN's search makes a step a tenth faster, and takes 10 s of each start."""
    is_searched = bool(setting.get("cudnn_benchmark"))
    compute = compute_bound(setting).compute_seconds / (1.1 if is_searched else 1.0)
    return Cost(compute_seconds=compute, start_seconds=10.3 if is_searched else 0.3)


SEARCH = Entry(KNOBS["cudnn_benchmark"], (False, True))


@pytest.mark.parametrize(("epochs", "is_kept"), [(20, False), (200, True)])
def test_race_keeps_a_search_at_each_start_only_where_a_run_repays_it(epochs: int, *, is_kept: bool) -> None:
    """A run of 20 s paid 10 s for a gain of 2 s."""
    result = run(SimulatedArena(searching), SEARCH, CHANNELS_LAST, epochs=epochs)
    assert result.setting == {"channels_last": True, **({"cudnn_benchmark": True} if is_kept else {})}
    even = result.break_evens[-1]
    assert (even.knob, even.was_repaid, even.steps_that_remain) == ("cudnn_benchmark", is_kept, 100 * epochs)
    assert even.start_seconds == pytest.approx(10.0)
    [heat] = [heat for heat in heats_of(result, "cudnn_benchmark") if heat.gain is not None][-1:]
    assert ("are repaid after" in heat.reason) is not is_kept
    assert setting_for(result, RunLength(epochs=20)) == {"channels_last": True}


def test_race_does_not_hold_a_start_against_a_knob_that_does_not_start_slowly() -> None:
    def cost(setting: Setting) -> Cost:
        return replace(compute_bound(setting), start_seconds=9.0 if setting.get("channels_last") else 0.1)

    result = run(SimulatedArena(cost), CHANNELS_LAST, epochs=1)
    assert result.setting == {"channels_last": True}
    assert result.break_evens == ()


def test_race_tries_graphs_first_where_steps_wait_for_launches() -> None:
    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=0.001, launch_seconds=0.01, start_seconds=1.0 if "compile" in setting else 0.1)

    modes = Entry(KNOBS["compile"], ("off", "default", "reduce-overhead"))
    result = run(SimulatedArena(cost), modes, epochs=100)
    assert [heat.changes["compile"] for heat in result.heats if heat.stage == "compile"] == [
        "reduce-overhead",
        "default",
    ]


def test_race_screens_again_what_a_compiled_step_waits_for() -> None:
    """Compiling makes the step so short that the loader's share, too small to be looked at before, is most of it."""

    def cost(setting: Setting) -> Cost:
        is_compiled, has_workers = "compile" in setting, setting.get("num_workers", 0) != 0
        return Cost(
            compute_seconds=0.002 if is_compiled else 0.1,
            wait_seconds=0.0 if has_workers else 0.004,
            start_seconds=5.0 if is_compiled else 0.1,
        )

    arena = SimulatedArena(cost)
    result = run(arena, Entry(KNOBS["num_workers"], (0, 2)), COMPILE, epochs=100)
    assert result.setting == {"compile": "default", "num_workers": 2}
    assert [diagnosis.kind for diagnosis in result.diagnoses][:2] == ["compute", "input"]


def test_race_looks_at_threads_also_where_slow_steps_leave_no_time_for_more() -> None:
    """Two threads on busy cores made every step and every start ten times as slow, and the race tried nothing."""

    def cost(setting: Setting) -> Cost:
        is_slow = setting.get("torch_threads") != 1
        return Cost(compute_seconds=0.1 if is_slow else 0.004, start_seconds=6.0 if is_slow else 0.5)

    arena = SimulatedArena(cost)
    result = run(arena, THREADS, baseline={"torch_threads": 2}, seconds=30.0, informed={"torch_threads": 2, "x": 1})
    assert result.setting == {"torch_threads": 1}
    assert result.gain is not None
    assert arena.machine.now < 60


def test_race_whose_first_sight_was_a_moment_of_the_machine_keeps_what_it_proved() -> None:
    arena = SimulatedArena(lambda setting: threads_in_a_busy_moment(setting, now=arena.machine.now))
    result = run(arena, CHANNELS_LAST, THREADS, baseline={"torch_threads": 2})
    assert result.heats[0].reason.endswith("faster at first sight")
    assert result.setting == {"torch_threads": 2, "channels_last": True}
    assert result.gain is not None
    assert result.gain.ratio == pytest.approx(1 / 0.8)


def threads_in_a_busy_moment(setting: Setting, *, now: float) -> Cost:
    """Two threads are the faster ones, but while another program has the second core."""
    seconds = 0.01 if setting.get("torch_threads") == 1 else 0.1 if now < 1 else 0.005
    return Cost(compute_seconds=seconds * (0.8 if setting.get("channels_last") else 1.0))
