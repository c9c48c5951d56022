"""Races whose contestants have no room side by side, on a device whose memory they share."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from autotune.events import Scalar
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.comparison import compare_in_turns
from autotune.speed.racing.heats.shared_arena import SharedArena
from autotune.speed.racing.plan import RacePlan, RaceWatch
from autotune.speed.racing.race import race
from autotune.speed.racing.result import Heat, RaceResult
from tests.speed.simulated import (
    Cost,
    Drift,
    Jitter,
    Noise,
    RandomWalk,
    Setting,
    SimulatedArena,
    SimulatedContestant,
    SimulatedMachine,
)

CHANNELS_LAST = Entry(KNOBS["channels_last"], (False, True))
FUSED = Entry(KNOBS["optimizer_impl"], ("for_loop", "foreach", "fused"))
PRECISION = Entry(KNOBS["precision"], ("fp32", "bf16"))
COMPILE = Entry(KNOBS["compile"], ("off", "default"))
DEVICE_BYTES = 100
LARGE = 60


def device(seed: int = 0, **fields: object) -> SimulatedMachine:
    return SimulatedMachine(seed=seed, memory_bytes=DEVICE_BYTES, **fields)  # type: ignore[arg-type]


def large(setting: Setting) -> Cost:
    factor = 0.8 if setting.get("channels_last") else 1.0
    factor *= 0.9 if setting.get("optimizer_impl") == "fused" else 1.0
    return Cost(compute_seconds=0.01 * factor, start_seconds=2.0, peak_memory_bytes=LARGE)


def run(arena: SimulatedArena, *entries: Entry, seconds: float = 1e6, **fields: object) -> RaceResult:
    plan = RacePlan(entries=entries, baseline={}, seconds=seconds, **fields)  # type: ignore[arg-type]
    return race(arena, plan, clock=lambda: arena.machine.now)


def heats_of(result: RaceResult, **setting: Scalar) -> list[Heat]:
    return [heat for heat in result.heats if heat.setting == setting]


def test_race_of_a_training_that_takes_most_of_the_device_finds_what_is_faster() -> None:
    arena = SimulatedArena(large, machine=device(noises=(Jitter(0.005),), start_spread=0.003))
    result = run(arena, CHANNELS_LAST, FUSED)
    assert result.setting == {"channels_last": True, "optimizer_impl": "fused"}
    assert result.gain is not None
    assert result.gain.low <= 1 / 0.72 <= result.gain.high
    assert result.gain.is_in_turns
    assert result.is_in_turns
    assert all(heat.is_in_turns for heat in result.heats if heat.gain is not None)
    assert result.noise_floor is None
    assert result.noise_floor_in_turns is not None
    assert arena.machine.most_at_once <= 2  # the twin that told, and then never again
    assert all(contestant.is_retired for contestant in arena.entered)
    assert RaceResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize("seed", range(10))
def test_race_in_turns_keeps_the_baseline_where_nothing_helps(seed: int) -> None:
    machine = device(seed, noises=(Jitter(0.01), Drift(0.05, 60.0)), start_spread=0.005)
    arena = SimulatedArena(lambda _: Cost(compute_seconds=0.01, peak_memory_bytes=LARGE), machine=machine)
    assert run(arena, CHANNELS_LAST, FUSED).setting == {}


def test_race_with_room_for_two_never_takes_turns() -> None:
    roomy, endless = (
        SimulatedArena(large, machine=SimulatedMachine(memory_bytes=memory_bytes)) for memory_bytes in (4 * LARGE, None)
    )
    result = run(roomy, CHANNELS_LAST, FUSED, memory_bytes=4 * LARGE)
    assert not result.is_in_turns
    assert result == run(endless, CHANNELS_LAST, FUSED)
    assert len(roomy.entered) == len(endless.entered)


def test_setting_alone_that_is_too_large_for_two_takes_turns_and_the_others_do_not() -> None:
    def cost(setting: Setting) -> Cost:
        peak = 80 if setting.get("optimizer_impl") == "fused" else 40
        return Cost(compute_seconds=large(setting).compute_seconds, start_seconds=2.0, peak_memory_bytes=peak)

    result = run(SimulatedArena(cost, machine=device()), FUSED, CHANNELS_LAST)
    assert result.setting == {"optimizer_impl": "fused", "channels_last": True}
    (fused,) = heats_of(result, optimizer_impl="fused")
    assert (fused.verdict, fused.is_in_turns) == ("kept", True)
    assert not any(heat.is_in_turns for heat in heats_of(result, optimizer_impl="foreach"))
    assert result.noise_floor is not None
    assert result.noise_floor_in_turns is not None


def test_contestants_that_are_predicted_not_to_fit_are_not_started_side_by_side() -> None:
    arena = SimulatedArena(large, machine=device())
    assert run(arena, CHANNELS_LAST, memory_bytes=DEVICE_BYTES).setting == {"channels_last": True}
    assert arena.machine.num_refused == 0
    assert arena.machine.most_at_once == 1


def test_peak_that_was_given_back_does_not_predict_that_two_have_no_room() -> None:
    """cuDNN's search takes workspaces as large as the device has room for, once."""

    def cost(setting: Setting) -> Cost:
        seconds = large(setting).compute_seconds
        return Cost(compute_seconds=seconds, start_seconds=2.0, peak_memory_bytes=LARGE, held_memory_bytes=30)

    result = run(SimulatedArena(cost, machine=device()), CHANNELS_LAST, memory_bytes=DEVICE_BYTES)
    assert result.setting == {"channels_last": True}
    assert not result.is_in_turns


def test_peak_of_one_setting_that_had_no_room_says_nothing_of_smaller_ones() -> None:
    def cost(setting: Setting) -> Cost:
        peak = 80 if setting.get("optimizer_impl") == "foreach" else 50
        seconds = large(setting).compute_seconds
        return Cost(compute_seconds=seconds, start_seconds=2.0, peak_memory_bytes=peak, held_memory_bytes=30)

    result = run(SimulatedArena(cost, machine=device()), FUSED, memory_bytes=DEVICE_BYTES)
    assert [heat.is_in_turns for heat in heats_of(result, optimizer_impl="foreach")] == [True]
    assert [heat.is_in_turns for heat in heats_of(result, optimizer_impl="fused")] == [False, False]


def test_no_room_is_learned_from_one_start_that_failed() -> None:
    arena = SimulatedArena(large, machine=device())
    run(arena, CHANNELS_LAST, FUSED)
    assert arena.machine.num_refused == 1


def test_setting_that_does_not_fit_alone_is_infeasible_with_its_reason() -> None:
    def cost(setting: Setting) -> Cost:
        peak = 120 if setting.get("optimizer_impl") == "foreach" else LARGE
        return Cost(compute_seconds=large(setting).compute_seconds, peak_memory_bytes=peak)

    result = run(SimulatedArena(cost, machine=device()), FUSED)
    (heat,) = heats_of(result, optimizer_impl="foreach")
    assert (heat.verdict, heat.reason) == ("infeasible", "out of memory: no room")
    assert result.setting == {"optimizer_impl": "fused"}


def test_device_that_other_programs_fill_is_told_apart_from_one_without_room_for_two() -> None:
    machine = device()

    def cost(setting: Setting) -> Cost:
        machine.held_bytes = 70 if setting.get("optimizer_impl") == "foreach" else 0
        return Cost(compute_seconds=large(setting).compute_seconds, peak_memory_bytes=40)

    result = run(SimulatedArena(cost, machine=machine), FUSED)
    (heat,) = heats_of(result, optimizer_impl="foreach")
    assert (heat.verdict, heat.reason) == ("infeasible", "out of memory: other processes hold 70")
    assert result.setting == {"optimizer_impl": "fused"}
    assert not result.is_in_turns


class ShrinkingArena(SimulatedArena):
    """The device is smaller from the first block of ``fused`` on: it ran out in a block, not at its start."""

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf):  # type: ignore[no-untyped-def] # noqa: ANN201
        contestant = super().enter(setting, seed=seed, limit_seconds=limit_seconds)
        is_beside = sum(not other.is_retired for other in self.entered) > 1
        if setting.get("optimizer_impl") == "fused" and is_beside:
            contestant.failure = ContestantLostError("out of memory", "no")
        return contestant


def test_contestant_that_runs_out_in_a_block_beside_another_takes_turns_with_it() -> None:
    arena = ShrinkingArena(lambda setting: Cost(compute_seconds=large(setting).compute_seconds, peak_memory_bytes=40))
    result = run(arena, FUSED)
    (heat,) = heats_of(result, optimizer_impl="fused")[:1]
    assert (heat.verdict, heat.is_in_turns) == ("kept", True)
    assert result.setting == {"optimizer_impl": "fused"}


def test_reduced_precision_is_judged_one_training_at_a_time() -> None:
    def cost(setting: Setting) -> Cost:
        def loss(seed: int, step: int) -> float:
            return 2.0 / (1 + 0.01 * step) + 0.02 * seed

        seconds = 0.006 if setting.get("precision") == "bf16" else 0.01
        return Cost(compute_seconds=seconds, losses=loss, start_seconds=2.0, peak_memory_bytes=LARGE)

    arena = SimulatedArena(cost, machine=device())
    result = run(arena, PRECISION, memory_bytes=DEVICE_BYTES)
    assert result.reduced_precision == ("precision",)
    assert arena.machine.most_at_once == 1


def test_compiling_is_raced_in_turns_where_a_run_repays_it() -> None:
    def cost(setting: Setting) -> Cost:
        is_compiled = setting.get("compile") == "default"
        seconds = 0.005 if is_compiled else 0.01
        return Cost(compute_seconds=seconds, start_seconds=30.0 if is_compiled else 2.0, peak_memory_bytes=LARGE)

    result = run(SimulatedArena(cost, machine=device()), COMPILE, epochs=100)
    assert result.setting == {"compile": "default"}
    assert result.break_evens[0].steps_that_remain == 10_000


SLOW_TO_START = 10.0


def slow_to_start(setting: Setting) -> Cost:
    cost = large(setting)
    return Cost(compute_seconds=cost.compute_seconds, start_seconds=SLOW_TO_START, peak_memory_bytes=LARGE)


@pytest.mark.parametrize("seconds", [60.0, 120.0, 240.0, 400.0, 800.0])
@pytest.mark.parametrize("memory_bytes", [None, DEVICE_BYTES])
def test_race_in_turns_begins_no_heat_that_would_end_too_late(seconds: float, memory_bytes: int | None) -> None:
    arena = SimulatedArena(slow_to_start, machine=device(noises=(Jitter(0.005),)))
    result = run(arena, FUSED, CHANNELS_LAST, seconds=seconds, memory_bytes=memory_bytes)
    assert result.seconds <= seconds + 2 * SLOW_TO_START
    assert result.is_cut_short == (seconds < 800)
    assert (result.gain is not None) == (seconds >= 400)


def test_race_in_turns_may_take_the_time_that_it_is_given_for_that() -> None:
    arena = SimulatedArena(slow_to_start, machine=device())
    result = run(arena, FUSED, CHANNELS_LAST, seconds=60.0, seconds_in_turns=900.0, memory_bytes=DEVICE_BYTES)
    assert result.setting == {"channels_last": True, "optimizer_impl": "fused"}
    assert 60 < result.seconds <= 900


@pytest.mark.parametrize("memory_bytes", [DEVICE_BYTES, None])
def test_race_in_turns_goes_on_in_its_time_once_a_winner_holds_less(memory_bytes: int | None) -> None:
    """Two of such a winner had room, so that the time for turns was taken back, and the race ended there."""

    def cost(setting: Setting) -> Cost:
        return replace(large(setting), peak_memory_bytes=30 if setting.get("channels_last") else LARGE)

    arena = SimulatedArena(cost, machine=device())
    result = run(arena, CHANNELS_LAST, FUSED, seconds=40.0, seconds_in_turns=400.0, memory_bytes=memory_bytes)
    assert result.setting == {"channels_last": True, "optimizer_impl": "fused"}
    assert result.heats[0].is_in_turns
    assert not heats_of(result, **result.setting)[0].is_in_turns
    assert not result.is_cut_short
    assert result.seconds_given == 400.0


@pytest.mark.parametrize("seconds", range(380, 500, 20))
def test_race_keeps_the_time_for_a_confirmation_in_turns_that_its_baseline_needs(seconds: float) -> None:
    """It was kept for one side by side, which the winner alone has room for."""

    def cost(setting: Setting) -> Cost:
        peak = 30 if setting.get("channels_last") else LARGE
        return replace(slow_to_start(setting), start_seconds=6.0, peak_memory_bytes=peak)

    more = Entry(KNOBS["optimizer_impl"], ("for_loop", *"abcdefghijklmnopqrst"))
    machine = device(noises=(Jitter(0.02),), start_spread=0.05)
    result = run(SimulatedArena(cost, machine=machine), CHANNELS_LAST, more, seconds=seconds, memory_bytes=DEVICE_BYTES)
    assert result.seconds_late == 0


def test_heat_for_whose_turns_no_time_is_left_is_passed_over_with_that_reason() -> None:
    def cost(setting: Setting) -> Cost:
        peak = 80 if setting.get("optimizer_impl") == "fused" else 40
        return Cost(compute_seconds=large(setting).compute_seconds, start_seconds=10.0, peak_memory_bytes=peak)

    result = run(SimulatedArena(cost, machine=device()), FUSED, CHANNELS_LAST, seconds=180.0)
    (fused,) = heats_of(result, optimizer_impl="fused")
    assert fused.verdict == "skipped"
    assert "no time to take turns with it" in fused.reason
    assert result.is_cut_short
    assert result.setting == {"channels_last": True}


def beside_a_large_guess(*, seconds: float, start_seconds: float, gain: float = 0.95) -> RaceResult:
    """A race with room for two that ends with a guess which has none, neither beside the winner nor the baseline."""

    def cost(setting: Setting) -> Cost:
        is_guess = setting.get("optimizer_impl") == "fused"
        factor = (0.7 if setting.get("channels_last") else 1.0) * (gain if is_guess else 1.0)
        return Cost(
            compute_seconds=0.01 * factor, start_seconds=start_seconds, peak_memory_bytes=80 if is_guess else 40
        )

    arena = SimulatedArena(cost, machine=device(noises=(Jitter(0.02),), start_spread=0.005))
    return run(arena, CHANNELS_LAST, seconds=seconds, informed={"optimizer_impl": "fused"}, overrun=1.5)


@pytest.mark.parametrize("start_seconds", [0.1, 0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("seconds", [12.0, 30.0, 60.0])
@pytest.mark.parametrize("gain", [0.5, 0.95, 1.1])
def test_guess_without_room_beside_the_winner_takes_turns_only_where_these_end_in_time(
    gain: float, seconds: float, start_seconds: float
) -> None:
    """Races of 12 s took up to 64: each quad of such a confirmation costs two starts."""
    result = beside_a_large_guess(seconds=seconds, start_seconds=start_seconds, gain=gain)
    assert result.seconds <= 1.3 * seconds


def test_guess_that_had_no_time_to_take_turns_with_the_winner_is_told_as_not_compared() -> None:
    result = beside_a_large_guess(seconds=12.0, start_seconds=2.0)
    *_, last = result.heats
    reason = "no room for the two side by side, and no time to take turns"
    assert (last.stage, last.verdict, last.reason) == ("informed", "skipped", reason)
    assert last.changes == {"optimizer_impl": "fused"}
    assert result.had_no_time_for_informed


def test_guess_that_had_no_time_to_take_turns_with_the_baseline_is_no_winner_for_that_reason() -> None:
    result = beside_a_large_guess(seconds=60.0, start_seconds=2.0, gain=0.5)
    assert result.setting == {"channels_last": True}
    assert result.guess_refusal == "no room for the two side by side, and no time to take turns"


def test_turns_of_long_steps_are_held_against_the_time_that_these_take() -> None:
    """Their blocks were counted as those of short steps: a race of 30 s took 107."""

    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=3.0 if setting.get("optimizer_impl") else 2.0, peak_memory_bytes=80)

    arena = SimulatedArena(cost, machine=device(noises=(Jitter(0.02),)))
    result = run(arena, CHANNELS_LAST, seconds=30.0, informed={"optimizer_impl": "fused"}, memory_bytes=DEVICE_BYTES)
    assert result.seconds <= 1.3 * 30.0


def test_time_for_turns_is_given_from_the_winner_on_that_has_no_room_for_another_one() -> None:
    """The race went by it unsaid, so that a study, which had not heard of it, ended the race before its end."""

    def cost(setting: Setting) -> Cost:
        factor = (0.8 if setting.get("channels_last") else 1.0) * (0.5 if setting.get("optimizer_impl") else 1.0)
        peak = 60 if setting.get("channels_last") else 30
        return Cost(compute_seconds=0.2 * factor, start_seconds=0.5, peak_memory_bytes=peak)

    told: list[float] = []
    arena = SimulatedArena(cost, machine=device())
    plan = RacePlan(
        entries=(CHANNELS_LAST,),
        baseline={},
        informed={"optimizer_impl": "fused"},
        seconds=30.0,
        seconds_in_turns=150.0,
        memory_bytes=DEVICE_BYTES,
    )
    watch = RaceWatch(takes_turns=lambda: told.append(arena.machine.now))
    result = race(arena, plan, watch=watch, clock=lambda: arena.machine.now)
    assert result.setting == {"optimizer_impl": "fused"}
    assert len(told) == 1
    assert result.seconds_given == 150.0
    assert result.seconds_late == 0


class FailingArena(SimulatedArena):
    """Starts of a contestant fail as ``fails`` says, by its setting and how often it was started before."""

    def __init__(self, fails: Callable[[Setting, int], ContestantLostError | None]) -> None:
        super().__init__(large, machine=device())
        self._fails = fails
        self._started: dict[str, int] = {}

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf):  # type: ignore[no-untyped-def] # noqa: ANN201
        key = repr(sorted(setting.items()))
        number = self._started.get(key, 0)
        self._started[key] = number + 1
        if (failure := self._fails(setting, number)) is not None:
            raise failure
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


@pytest.mark.parametrize("kind", ["crashed", "hung"])
@pytest.mark.parametrize("turn", [0, 1, 2])
def test_challenger_that_is_lost_in_its_turn_is_infeasible_and_the_race_goes_on(kind: str, turn: int) -> None:
    def fails(setting: Setting, number: int) -> ContestantLostError | None:
        is_lost = setting.get("optimizer_impl") == "foreach" and number == turn
        return ContestantLostError(kind, "no") if is_lost else None  # type: ignore[arg-type]

    def nearly(setting: Setting) -> Cost:  # so that its heat has more turns than two
        factor = 0.97 if setting.get("optimizer_impl") == "foreach" else 1.0
        return Cost(compute_seconds=large(setting).compute_seconds * factor, start_seconds=2.0, peak_memory_bytes=LARGE)

    arena = FailingArena(fails)
    arena._cost = nearly  # noqa: SLF001
    result = run(arena, FUSED, memory_bytes=DEVICE_BYTES)
    (heat,) = heats_of(result, optimizer_impl="foreach")
    again = "it could not be started again: " if turn else ""
    assert (heat.verdict, heat.reason) == ("infeasible", f"{kind}: {again}no")
    assert result.setting == {"optimizer_impl": "fused"}
    assert all(contestant.is_retired for contestant in arena.entered)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_setting_to_beat_that_fails_to_start_once_after_it_was_put_away_is_started_again(number: int) -> None:
    """A moment's failure must not lose the race."""

    def fails(setting: Setting, count: int) -> ContestantLostError | None:
        return ContestantLostError("crashed", "no") if not setting and count == number else None

    result = run(FailingArena(fails), CHANNELS_LAST, FUSED, memory_bytes=DEVICE_BYTES)
    assert any("no" in heat.reason for heat in result.heats if heat.verdict == "infeasible")
    assert result.gain is not None
    assert result.ended_by is None


@pytest.mark.parametrize("number", [4, 6])
def test_race_goes_on_from_the_baseline_where_an_adopted_setting_can_not_be_started_again(number: int) -> None:
    def fails(setting: Setting, count: int) -> ContestantLostError | None:
        is_lost = setting == {"channels_last": True} and count >= number
        return ContestantLostError("crashed", "no") if is_lost else None

    result = run(FailingArena(fails), FUSED, CHANNELS_LAST, memory_bytes=DEVICE_BYTES)
    assert any("the setting to beat can't be started again" in heat.reason for heat in result.heats)
    assert result.setting == {}
    assert result.ended_by is None


def test_winner_that_can_not_be_started_when_it_is_to_be_adopted_leaves_its_place_to_the_next() -> None:
    def fails(setting: Setting, count: int) -> ContestantLostError | None:
        is_lost = setting == {"channels_last": True} and count >= 3
        return ContestantLostError("crashed", "no") if is_lost else None

    result = run(FailingArena(fails), FUSED, CHANNELS_LAST, memory_bytes=DEVICE_BYTES)
    assert result.setting == {"optimizer_impl": "fused"}
    assert [(heat.stage, heat.verdict) for heat in heats_of(result, channels_last=True)][-1] == ("stack", "infeasible")


@pytest.mark.parametrize("number", [1, 2, 4, 6, 9])
def test_race_whose_baseline_can_not_be_started_again_ends_with_what_is_known(number: int) -> None:
    def fails(setting: Setting, count: int) -> ContestantLostError | None:
        return (
            ContestantLostError("out of memory", "other processes hold 70") if not setting and count >= number else None
        )

    arena = FailingArena(fails)
    result = run(arena, CHANNELS_LAST, FUSED, memory_bytes=DEVICE_BYTES)
    assert result.setting == {}
    assert result.gain is None
    assert result.is_cut_short
    assert result.ended_by is not None
    assert "other processes hold 70" in result.ended_by
    assert result.samples_per_second == pytest.approx(3200, rel=0.01)
    assert all(contestant.is_retired for contestant in arena.entered)


NOISES: Mapping[str, Callable[[], tuple[Noise, ...]]] = {
    "jitter": lambda: (Jitter(0.005),),
    "drift": lambda: (Jitter(0.003), Drift(0.08, 60.0)),
    "walk": lambda: (RandomWalk(0.004),),
}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("start_spread", [0.0, 0.01])
@pytest.mark.parametrize(("quads", "confidence", "least"), [(5, 0.95, 0.92), (4, 0.8, 0.7)])
def test_interval_in_turns_holds_the_ratio_as_often_as_it_says(
    noise: str, start_spread: float, quads: int, confidence: float, least: float
) -> None:
    """Also where processes of one setting differ for as long as they live, which side by side is in the floor alone."""
    held = 0
    for seed in range(150):
        arena = SimulatedArena(large, machine=device(seed, noises=NOISES[noise](), start_spread=start_spread))
        shared = SharedArena(arena, memory_bytes=DEVICE_BYTES)
        a, b = shared.enter({}), shared.enter({"channels_last": True})
        low, high = compare_in_turns(a, b, quads=quads, seconds=1.0, min_steps=5, confidence=confidence).interval
        held += low <= 1.25 <= high
    assert held / 150 >= least


class Refusing(SimulatedArena):
    """Starts no more contestants of one setting."""

    refused: Setting | None = None

    def enter(self, setting: Setting, *, seed: int = 0, limit_seconds: float = math.inf) -> SimulatedContestant:
        if setting == self.refused:
            raise ContestantLostError("crashed", "gone")
        return super().enter(setting, seed=seed, limit_seconds=limit_seconds)


def test_setting_to_beat_that_can_not_be_started_beside_a_challenger_is_not_that_ones_loss() -> None:
    """The challenger was recorded as one that can't be trained with."""
    arena = Refusing(large)
    shared = SharedArena(arena)
    incumbent, challenger = shared.enter({}), shared.enter({"channels_last": True})
    incumbent.put_away()
    arena.refused = {}
    with pytest.raises(ContestantLostError, match="it could not be started again: gone"):
        shared.are_side_by_side(incumbent, challenger)
    assert (incumbent.is_retired, challenger.is_retired) == (True, False)


@pytest.mark.parametrize(
    ("starts", "seconds"),
    [((40.0,), 0.0), ((40.0, 20.0), 20.0), ((3.0, 30.0), 3.0)],
    ids=["once", "it had compiled", "a moment"],
)
def test_setting_takes_to_start_again_the_least_that_two_starts_or_more_took(
    starts: tuple[float, ...], seconds: float
) -> None:
    coming = iter(starts)

    def cost(setting: Setting) -> Cost:
        return Cost(compute_seconds=0.01, start_seconds=next(coming) if setting.get("channels_last") else 1.0)

    arena = SimulatedArena(cost)
    shared = SharedArena(arena, clock=lambda: arena.machine.now)
    shared.enter({})
    for _ in starts:
        shared.enter({"channels_last": True})
    assert shared.seconds_to_start_again({"channels_last": True}) == seconds
