"""What a race says of itself where its contestants took turns on the device."""

import pytest

from autotune.report.text.speeds import SpeedSummary, ending_lines, heat_rows
from autotune.speed.racing.result import EpochStarts, Split
from tests.out_of_memory import NATIVE, NATIVE_IN_SHORT
from tests.report.raced import BESIDE, GAIN, IN_TURNS, MEASURED, UNPROVEN, result_of


def lines(**fields: object) -> str:
    result = result_of(**fields)
    summary = SpeedSummary(task="t.py:T", device="cuda", num_cores=2, workload={}, result=result, code=(), doubt=None)
    return "\n".join(ending_lines(summary))


def test_heat_in_turns_says_so_in_its_row() -> None:
    assert [row[-1] for row in heat_rows([IN_TURNS, BESIDE])] == ["faster (in turns)", "faster"]


def test_race_in_turns_says_why_and_what_its_noise_is() -> None:
    text = lines(noise_floor_in_turns=0.02)
    assert "turns: no room for two of these trainings on the device" in text
    assert "two of one setting differ by up to 2.0% so" in text


def test_race_with_room_for_two_says_nothing_of_turns() -> None:
    assert "turns" not in lines(heats=(BESIDE,))


def test_race_that_had_no_time_for_turns_says_what_it_needs() -> None:
    text = lines(is_cut_short=True, seconds_for_more=420.0, heats=(), gain=None, setting={})
    assert "Nothing was tried" in text
    assert "--seconds gives it longer (one more heat in turns: 420)" in text


def test_race_that_compared_nothing_says_what_its_time_went_into() -> None:
    hung = BESIDE.model_copy(update={"verdict": "infeasible", "gain": None, "seconds": 12.6})
    text = lines(is_cut_short=True, heats=(hung,), gain=None, setting={})
    assert (
        "Nothing was compared: the race was over before one setting was measured; "
        "13 s went into what can't be trained with, as channels_last true."
    ) in text


def test_race_that_took_longer_than_it_had_says_by_how_much() -> None:
    assert lines(seconds=156.0, seconds_given=120.0).endswith("cost: 156 s, 36 s more than it had")
    assert lines(seconds=125.0, seconds_given=120.0).endswith("cost: 125 s")
    assert lines(seconds=156.0).endswith("cost: 156 s")


def test_race_that_ended_with_what_was_known_says_why() -> None:
    text = lines(is_cut_short=True, ended_by="other processes hold 70 GiB", gain=None, setting={})
    assert "ended before everything was tried: other processes hold 70 GiB" in text
    assert "Keep what you have: nothing was proven before the race ended.\n" in text


def test_row_of_an_informed_guess_says_that_the_gain_over_it_is_the_winner_s() -> None:
    guess = BESIDE.model_copy(update={"stage": "informed", "changes": {"num_workers": 2}})
    tried = [row[1] for row in heat_rows([guess, BESIDE])]
    assert tried == ["the winner against an informed guess: num_workers 2", "channels_last true"]


@pytest.mark.parametrize(("noise_floor", "is_loud"), [(0.51, True), (0.03, False)])
def test_race_beside_loud_noise_does_not_pass_for_an_answer(noise_floor: float, *, is_loud: bool) -> None:
    text = lines(noise_floor=noise_floor, heats=(BESIDE,), gain=None, setting={})
    assert "Keep what you have: nothing is surely faster than the baseline" in text
    assert ("beside that noise a good gain would not show: race again" in text) is is_loud


def test_guess_of_which_nothing_takes_hold_is_said_to_change_nothing() -> None:
    idle = BESIDE.model_copy(
        update={
            "stage": "informed",
            "verdict": "skipped",
            "changes": {"precision": "bf16"},
            "reason": "nothing of it takes hold here",
            "gain": None,
        }
    )
    text = lines(informed={}, heats=(BESIDE, idle))
    assert "\n      not compared with an informed guess (precision bf16): nothing of it takes hold here" in text
    assert "The baseline was not compared with" in lines(informed={}, heats=(idle,), gain=None, setting={})


def test_winner_that_was_not_proven_is_named() -> None:
    vague = GAIN.model_copy(update={"low": 0.99})
    refused = BESIDE.model_copy(update={"stage": "confirm", "verdict": "rejected", "gain": vague})
    text = lines(gain=None, setting={}, heats=(refused,))
    assert "Not proven: channels_last true, 1.40 [0.99, 1.50] times as fast on fresh processes" in text
    slower = refused.model_copy(update={"gain": vague.model_copy(update={"ratio": 0.99, "low": 0.9})})
    assert "Not proven" not in lines(gain=None, setting={}, heats=(slower,))
    assert "Not proven" not in lines(heats=(BESIDE,))


def test_baseline_that_stays_says_whose_throughput_beats_the_guess() -> None:
    text = lines(gain=None, informed={"num_workers": 2}, informed_gain=GAIN)
    assert (
        "nothing is surely faster than the baseline.\nThe baseline's throughput is 1.40 [1.30, 1.50] times that of"
        in text
    )


def test_comparisons_that_tell_nothing_are_told_in_words() -> None:
    """The table and the lines read 0.82 [0.00, 14950.52] ?."""
    noise = GAIN.model_copy(update={"ratio": 1.02, "low": 4.5e-05, "high": 14950.52})
    refused = UNPROVEN.model_copy(update={"gain": noise})
    assert heat_rows([refused])[0][2] == "too noisy to tell apart"
    text = lines(gain=None, setting={}, heats=(refused,), informed={"num_workers": 2}, informed_gain=noise)
    assert "Not proven: channels_last true, too noisy to tell apart from the baseline on fresh processes; a" in text
    guess = "that of an informed guess (num_workers 2)"
    assert f"The baseline's throughput is too noisy to tell apart from {guess}" in text


def test_guess_that_is_faster_and_not_taken_up_is_said_to_be_so_with_the_reason() -> None:
    """It read that nothing is faster than the baseline, and then of a guess that is, whose digits are fewer."""
    half = GAIN.model_copy(update={"ratio": 0.5, "low": 0.48, "high": 0.52})
    told = {"informed": {"precision": "bf16"}, "informed_gain": half, "guess_refusal": "its loss was not judged"}
    text = lines(gain=None, setting={}, heats=(UNPROVEN,), **told)
    assert "Keep what you have: of what the race may take up, nothing is surely faster than the baseline.\n" in text
    assert (
        "The baseline's throughput is 0.50 [0.48, 0.52] times that of an informed guess (precision bf16)\n"
        "      the guess is faster, but its loss was not judged\n"
    ) in text


GUESS = {"num_workers": 2}


def test_winner_that_had_no_time_to_meet_an_informed_guess_says_so_in_one_line() -> None:
    told = "not compared with an informed guess (num_workers 2): its time was up; --seconds gives it longer"
    assert f"      {told}" in lines(informed=GUESS)
    assert f"The baseline was {told}" in lines(gain=None, setting={}, informed=GUESS)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"informed_gain": GAIN},
        {"setting": GUESS},
        {"baseline": GUESS},
        {"heats": (BESIDE.model_copy(update={"stage": "informed", "verdict": "infeasible", "gain": None}),)},
        {"ended_by": "other processes hold 70 GiB"},
    ],
)
def test_race_that_met_the_informed_guess_or_needed_not_to_says_nothing_of_time(fields: dict[str, object]) -> None:
    informed = {} if not fields else {"informed": GUESS}
    assert "not compared" not in lines(**informed, **fields)


@pytest.mark.parametrize("in_force", [GUESS, {}], ids=["all of it", "what of it is in force"])
def test_winner_that_is_the_informed_guess_is_said_to_be_it(in_force: dict[str, object]) -> None:
    """No line told of the guess at all."""
    beaten = BESIDE.model_copy(update={"stage": "informed", "verdict": "rejected", "reason": "the guess is faster"})
    setting = {"channels_last": True, **in_force}
    text = lines(setting=setting, informed={"channels_last": True, **GUESS}, heats=(beaten,))
    assert "      the winner is an informed guess (channels_last true · num_workers 2) itself" in text
    assert "itself" not in lines(informed=GUESS)
    assert "itself" not in lines(gain=None, setting={}, informed=GUESS)


def test_epoch_starts_that_no_figure_has_are_told() -> None:
    text = lines(uncharged_starts=EpochStarts(winner_seconds=0.21, baseline_seconds=0.012))
    assert "an epoch's start, 0.21 s (the baseline's 12 ms), is in no figure: the loader does not tell" in text
    assert "epoch's start" not in lines()


def test_epoch_starts_that_are_no_part_of_a_step_are_told_beside_it() -> None:
    split = Split(data_wait=0.0, copy_to_device=0.0, compute=0.5, optimizer=0.5, epoch_starts=0.84)
    assert "optimizer 50%; beside these, starts of epochs take 84% of the time" in lines(split=split)
    assert "starts of epochs" not in lines()


def test_optimizer_that_is_not_told_apart_is_said_to_be_in_what_it_is_in() -> None:
    """It was said to take 0 % of a recorded step, and of a loop that steps its optimizer by itself."""
    text = lines(split=Split(data_wait=0.1, copy_to_device=0.0, compute=0.9, optimizer=None))
    assert "forward, backward and optimizer 90% (not told apart: a step is one call, or does not go through" in text
    assert "optimizer 0%" not in text


def test_throughput_is_told_with_what_was_around_it() -> None:
    told = "load 0.5 to 1.3, clock 2,450 MHz, temperature 61 to 64 °C, recompilations 2"
    assert f" GiB ({told})\n" in lines(surroundings=MEASURED.surroundings)
    assert "load" not in lines()


def test_memory_that_ran_out_in_a_heat_is_told_in_short() -> None:
    lost = BESIDE.model_copy(update={"verdict": "infeasible", "reason": f"OutOfMemoryError: {NATIVE}"})
    assert heat_rows([lost])[0][-1] == f"OutOfMemoryError: {NATIVE_IN_SHORT}"
