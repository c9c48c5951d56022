"""Races of limited time whose steps take tens of milliseconds, so that a heat has few quads."""

import math
import random
import statistics
from dataclasses import dataclass, replace
from functools import partial

import pytest

from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from autotune.speed.racing.pace import Pace
from autotune.speed.racing.plan import RacePlan, RaceWatch
from autotune.speed.racing.race import race
from autotune.speed.racing.result import Heat, RaceResult
from tests.speed.simulated import Cost, Jitter, Setting, SimulatedArena, SimulatedContestant, SimulatedMachine, Spikes

SECONDS = 42.0
WORKERS = Entry(KNOBS["num_workers"], (0, 1, 2))
THREADS = Entry(KNOBS["torch_threads"], (1, 2))
ALLOCATOR = Entry(KNOBS["allocator"], ("default", "retain"))
CHANNELS_LAST = Entry(KNOBS["channels_last"], (False, True))


class Starting(SimulatedArena):
    """Contestants that take half a second to enter, and longer with workers."""

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        self.machine.now += 0.5 + 0.2 * workers_of(setting)
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


def workers_of(setting: Setting) -> int:
    return int(str(setting.get("num_workers", 0)))


def two_cores(setting: Setting) -> Cost:
    """A worker needs a core of its own; two of them are worth more than one where a step computes faster."""
    workers, threads = workers_of(setting), int(str(setting.get("torch_threads", 2)))
    is_fast = bool(setting.get("channels_last"))
    if workers > 0 and threads > 1:
        step = 0.040 - 0.003 * is_fast
    else:
        step = {0: 0.033 if threads > 1 else 0.043, 1: 0.0256, 2: 0.0268}[workers]
        step -= {0: 0.003, 1: 0.0002, 2: 0.0031}[workers] * is_fast
    compute = (0.020 if workers else 0.013) - 0.004 * is_fast
    return Cost(
        compute_seconds=compute, wait_seconds=max(0.0, step - compute), in_force={"torch_threads": 2, **setting}
    )


def run(
    seed: int, *entries: Entry, seconds: float = SECONDS, jitter: float = 0.05, spikes: float = 0.05
) -> tuple[RaceResult, float]:
    """The race, and when its confirmation was over."""
    machine = SimulatedMachine(seed=seed, noises=(Jitter(jitter), Spikes(spikes, 2.0)))
    over: list[float] = [0.0]
    watch = RaceWatch(heat_over=lambda heat: over.append(machine.now) if heat.stage == "confirm" else None)
    plan = RacePlan(entries=entries, baseline={}, seconds=seconds)
    result = race(Starting(two_cores, machine=machine), plan, watch=watch, clock=lambda: machine.now)
    return result, over[-1]


ALL = WORKERS, THREADS, ALLOCATOR, CHANNELS_LAST


@pytest.fixture(scope="module")
def races() -> list[tuple[RaceResult, float]]:
    """Forty of all knobs, as noisy as two cores are that nobody else uses."""
    return [run(seed, *ALL) for seed in range(40)]


def screened(result: RaceResult, name: str) -> list[Heat]:
    return [heat for heat in result.heats if heat.stage == "screen" and name in heat.changes]


def speed(setting: Setting) -> float:
    return 1 / two_cores(setting).step_seconds("real")


def test_race_of_long_steps_comes_near_the_best_setting(races: list[tuple[RaceResult, float]]) -> None:
    best = speed({"num_workers": 2, "torch_threads": 1, "channels_last": True})
    shares = [speed(result.setting) / best for result, _ in races]
    assert statistics.median(shares) >= 0.97


def test_race_of_long_steps_ends_in_time_or_a_little_late(races: list[tuple[RaceResult, float]]) -> None:
    took = [result.seconds / SECONDS for result, _ in races]
    assert statistics.median(took) <= 1.0
    assert max(took) <= 1.1


def test_race_of_twelve_seconds_tries_something_and_proves_it() -> None:
    """The least that a first race of a study has; it had time for the baseline, the noise and a confirmation alone."""
    results = [run(seed, *ALL, seconds=12.0)[0] for seed in range(40)]
    assert sum("num_workers" in result.setting for result in results) >= 15
    assert max(result.seconds for result in results) <= 1.1 * 12.0


def test_single_winner_is_started_for_its_confirmation_alone_where_no_heat_can_follow() -> None:
    machine = SimulatedMachine(seed=1, noises=(Jitter(0.03),))
    arena = Starting(lambda setting: two_cores({**setting, "torch_threads": 1}), machine=machine)
    plan = RacePlan(entries=(WORKERS,), baseline={}, seconds=9.0)
    result = race(arena, plan, clock=lambda: machine.now)
    assert result.setting["num_workers"] == 1
    assert [heat.stage for heat in result.heats] == ["screen", "confirm"]
    assert sum(contestant.setting == result.setting for contestant in arena.entered) == 2


def test_race_measures_nothing_after_its_confirmation(races: list[tuple[RaceResult, float]]) -> None:
    """Its figures are those of the confirmation, in more blocks than a last look would have."""
    confirmed = [(result, over) for result, over in races if over]
    assert confirmed
    assert all(over == pytest.approx(result.seconds) for result, over in confirmed)
    proven = [result for result, _ in confirmed if result.gain is not None]
    assert proven
    for result in proven:
        assert result.samples_per_second == pytest.approx(32 * speed(result.setting), rel=0.1)


def runner_up_heats(result: RaceResult) -> list[Heat]:
    """Of the number of workers, once two such numbers were winners."""
    first, *more = screened(result, "num_workers")
    return more[1:] if more and first.verdict == more[0].verdict == "kept" else []


def test_runner_up_is_given_up_after_six_quads_or_where_it_is_surely_no_better() -> None:
    races = [run(seed, WORKERS, THREADS, seconds=1e6, jitter=0.1)[0] for seed in range(40)]
    met = [heat for result in races for heat in runner_up_heats(result)]
    rejected = [heat.gain for heat in met if heat.verdict == "rejected" and heat.gain is not None]
    assert any(gain.num_quads >= 6 for gain in rejected)
    assert all(gain.high < 1.02 for gain in rejected if gain.num_quads < 6)


def test_runner_up_need_not_be_surely_better_than_the_winner_beside_which_it_won(
    races: list[tuple[RaceResult, float]],
) -> None:
    kept = [heat for result, _ in races for heat in runner_up_heats(result) if heat.reason == "better of two winners"]
    assert kept
    assert all(heat.gain is not None and heat.gain.ratio >= 1.02 for heat in kept)


def test_runner_up_is_tried_beside_what_seemed_faster_and_was_not_adopted(
    races: list[tuple[RaceResult, float]],
) -> None:
    together = [heat for result, _ in races for heat in runner_up_heats(result) if "channels_last" in heat.changes]
    assert any(heat.verdict == "kept" for heat in together)


@pytest.mark.parametrize(("most_threads", "num_tried"), [(2, 0), (16, 1)])
def test_workers_are_tried_with_a_core_of_their_own_first_where_threads_keep_half(
    most_threads: int, num_tried: int
) -> None:
    def cost(setting: Setting) -> Cost:
        wait = 0.004 if setting.get("num_workers") and setting["torch_threads"] == 1 else 0.03
        return Cost(compute_seconds=0.01, wait_seconds=wait)

    threads = replace(THREADS, values=(1, most_threads))
    plan = RacePlan(entries=(WORKERS, threads), baseline={"torch_threads": most_threads}, seconds=1e6)
    arena = SimulatedArena(cost)
    result = race(arena, plan, clock=lambda: arena.machine.now)
    assert result.setting == {"num_workers": 1, "torch_threads": 1}
    beside_all = [heat for heat in screened(result, "num_workers") if heat.setting["torch_threads"] == most_threads]
    assert len(beside_all) == num_tried


def test_heat_takes_no_time_that_is_kept_to_put_winners_together() -> None:
    """It would take up to ten quads, where four were counted for it."""
    fused = Entry(KNOBS["optimizer_impl"], ("for_loop", "fused"))

    def cost(setting: Setting) -> Cost:
        gains = {"channels_last": 0.85, "optimizer_impl": 0.85, "allocator": 0.98}
        return Cost(compute_seconds=0.03 * math.prod(gain for name, gain in gains.items() if name in setting))

    def settings(seconds: float) -> list[Setting]:
        machines = [SimulatedMachine(seed=seed, noises=(Jitter(0.06),)) for seed in range(5)]
        plan = RacePlan(entries=(CHANNELS_LAST, fused, replace(ALLOCATOR, knob=late)), baseline={}, seconds=seconds)
        arenas = [SimulatedArena(cost, machine=machine) for machine in machines]
        return [race(arena, plan, clock=partial(getattr, arena.machine, "now")).setting for arena in arenas]

    late = replace(ALLOCATOR.knob, moves=("compute",), needs="new graph")
    found = [setting for quarters in range(60, 120) for setting in settings(quarters / 4)]
    assert sum({"channels_last", "optimizer_impl"} <= setting.keys() for setting in found) >= 0.89 * len(found)


class Late(SimulatedArena):
    """Contestants that take longer to enter than to be screened."""

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        self.machine.now += 1.5
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


def test_start_of_the_best_winner_is_counted_once_in_what_putting_winners_together_takes() -> None:
    knobs = (CHANNELS_LAST, Entry(KNOBS["optimizer_impl"], ("for_loop", "fused")))
    names = {entry.name for entry in knobs}
    slow = replace(ALLOCATOR, knob=replace(ALLOCATOR.knob, moves=("compute",), needs="new graph"))
    found: list[RaceResult] = []
    for quarters in range(60, 140):
        machine = SimulatedMachine(seed=quarters, noises=(Jitter(0.02),))
        arena = Late(lambda setting: Cost(compute_seconds=0.03 * 0.85 ** len(names & setting.keys())), machine=machine)
        plan = RacePlan(entries=(*knobs, slow), baseline={}, seconds=quarters / 4)
        found.append(race(arena, plan, clock=partial(getattr, machine, "now")))
    both_won = [result for result in found if names <= {name for heat in won(result) for name in heat.changes}]
    assert len(both_won) > 10
    assert sum(names <= result.setting.keys() for result in both_won) >= 0.95 * len(both_won)


def won(result: RaceResult) -> list[Heat]:
    return [heat for heat in result.heats if heat.stage == "screen" and heat.verdict == "kept"]


def test_challenger_of_long_steps_is_out_of_reach_after_five_quads(races: list[tuple[RaceResult, float]]) -> None:
    tried = [heat.gain for result, _ in races for heat in screened(result, "channels_last") if heat.gain is not None]
    rejected = [gain for gain in tried if gain.low < 1 < gain.high]
    assert rejected
    # Four where that is all that the race has time for.
    assert sum(gain.num_quads < 5 for gain in rejected) <= len(rejected) / 10


def test_value_that_a_winner_has_is_not_tried_alone(races: list[tuple[RaceResult, float]]) -> None:
    with_one_thread = [result for result, _ in races if result.setting.get("torch_threads") == 1]
    assert with_one_thread
    for result in with_one_thread:
        assert {"torch_threads": 1} not in [heat.changes for heat in screened(result, "torch_threads")]


@pytest.mark.parametrize(("seconds", "num_quads"), [(10.0, 5), (35.0, 7), (42.0, 8), (1e6, 8)])
def test_noise_is_known_from_fewer_quads_where_it_would_take_much_of_a_race(seconds: float, num_quads: int) -> None:
    assert Pace().within(seconds).floor_quads == num_quads


def test_noise_is_not_looked_at_again_where_no_time_is_left_for_it() -> None:
    """Its eight quads would take the confirmation's."""

    def longest_screening(seconds: float) -> float:
        races = [run(seed, *ALL, seconds=seconds, jitter=0.15)[0] for seed in range(40)]
        return max(heat.seconds for result in races for heat in result.heats if heat.stage == "screen")

    assert longest_screening(SECONDS) > 8
    assert longest_screening(20.0) < 7


@dataclass(frozen=True)
class Busy:
    """Other programs take most of the machine from a moment on."""

    since: float
    times: float

    def factor(self, now: float, generator: random.Random) -> float:
        return math.exp(generator.gauss(0.0, 0.01)) * (self.times if now >= self.since else 1.0)


def race_on_a_machine_that_becomes_slow(since: float, times: float) -> RaceResult:
    machine = SimulatedMachine(noises=(Busy(since, times),))
    plan = RacePlan(entries=ALL, baseline={}, seconds=SECONDS)
    return race(Starting(two_cores, machine=machine), plan, clock=lambda: machine.now)


def test_confirmation_on_a_machine_that_became_slow_ends_as_soon_as_it_tells() -> None:
    result = race_on_a_machine_that_becomes_slow(30.0, times=6.0)
    confirmed = next(heat for heat in result.heats if heat.stage == "confirm")
    assert confirmed.verdict == "kept"
    assert confirmed.gain is not None
    assert confirmed.gain.num_quads < 9


@pytest.mark.parametrize("seconds", [30.0, 60.0, 120.0])
@pytest.mark.parametrize("step_seconds", [0.05, 0.1])
@pytest.mark.parametrize("slower", [(10.0, 1.0), (10.0, 10.0)], ids=["the baseline", "both"])
def test_confirmation_of_what_became_ten_times_slower_ends_a_little_late_at_most(
    seconds: float, step_seconds: float, slower: tuple[float, float]
) -> None:
    """Its blocks were counted as those before: a race of 30 s took 87, and a study ended it without its winner."""
    begun: list[str] = []

    def cost(setting: Setting) -> Cost:
        is_winner = bool(setting.get("channels_last"))
        times = slower[is_winner] if "confirm" in begun else 1.0
        return Cost(compute_seconds=step_seconds * times * (0.93 if is_winner else 1.0), start_seconds=0.5)

    for seed in range(5):
        begun.clear()
        machine = SimulatedMachine(seed=seed, noises=(Jitter(0.03),))
        watch = RaceWatch(heat_begun=lambda stage, _: begun.append(stage))
        plan = RacePlan(entries=(CHANNELS_LAST,), baseline={}, seconds=seconds)
        result = race(SimulatedArena(cost, machine=machine), plan, watch=watch, clock=partial(getattr, machine, "now"))
        assert result.seconds <= 1.25 * seconds


def test_heat_on_a_machine_that_became_slow_takes_no_more_of_the_time_for_the_end() -> None:
    result = race_on_a_machine_that_becomes_slow(20.0, times=30.0)
    *_, last = [heat.gain for heat in result.heats if heat.stage == "screen" and heat.gain is not None]
    assert last.num_quads < 10
    assert last.low < 1 < last.high  # nothing is told by then


@pytest.mark.parametrize("start", [None, {"channels_last": True}], ids=["anew", "from a winner"])
@pytest.mark.parametrize(("step_seconds", "seconds"), [(0.3, 6.0), (0.3, 12.0), (0.5, 12.0), (1.0, 12.0), (1.0, 30.0)])
def test_race_of_steps_that_are_too_long_for_it_begins_nothing_that_would_be_lost(
    step_seconds: float, seconds: float, start: Setting | None
) -> None:
    """A study ends a race at twice its seconds, which brief ones of long steps took each time, for nothing."""

    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=step_seconds * (0.8 if setting.get("channels_last") else 1.0), start_seconds=1.0)

    machine = SimulatedMachine(noises=(Jitter(0.03),))
    plan = RacePlan(entries=(CHANNELS_LAST,), baseline={}, start=start, seconds=seconds, overrun=2.0)
    result = race(SimulatedArena(cost, machine=machine), plan, clock=lambda: machine.now)
    assert result.seconds <= 1.25 * seconds
    assert result.setting == {}
    assert not result.is_answer


@pytest.mark.parametrize("is_better", [True, False])
@pytest.mark.parametrize("how", ["none", "start", "guess", "informed"])
@pytest.mark.parametrize("seconds", [12.0, 30.0, 60.0, 120.0])
def test_race_whose_baseline_starts_slowly_is_over_before_it_is_ended(
    seconds: float, how: str, *, is_better: bool
) -> None:
    """A start was counted as half of the only one that was known: such a race took up to 3.2 times its seconds."""
    tried: dict[str, Setting] = {} if how == "none" else {how: {"channels_last": True}}
    for hundredths in range(6, 126, 6):

        def cost(setting: Setting, start_seconds: float = hundredths / 100 * seconds) -> Cost:
            times = (0.7 if is_better and setting.get("channels_last") else 1.0) * 0.5 ** (
                setting.get("torch_threads") == 1
            )
            return Cost(
                compute_seconds=0.01 * times, start_seconds=start_seconds, in_force={"torch_threads": 2, **setting}
            )

        machine = SimulatedMachine(seed=1, noises=(Jitter(0.02),))
        plan = RacePlan(
            entries=(CHANNELS_LAST, THREADS),
            baseline={},
            start=tried.get("start"),
            guess=tried.get("guess"),
            informed=tried.get("informed"),
            seconds=seconds,
            overrun=2.0,
        )
        result = race(SimulatedArena(cost, machine=machine), plan, clock=partial(getattr, machine, "now"))
        assert result.seconds <= 2.0 * seconds
        assert result.gain is not None or hundredths > 40
