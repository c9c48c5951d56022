"""What a race says of itself where its contestants took turns on the device."""

from autotune.report.speeds import SpeedSummary, ending_lines, heat_rows
from autotune.speed.racing.result import Gain, Heat, RaceResult, Split

GAIN = Gain(ratio=1.4, low=1.3, high=1.5, num_quads=4, is_in_turns=True)
HEAT = Heat(
    stage="screen",
    setting={"channels_last": True},
    changes={"channels_last": True},
    verdict="kept",
    reason="faster",
    gain=GAIN,
    is_in_turns=True,
)


def lines(**fields: object) -> str:
    split = Split(data_wait=0.1, copy_to_device=0.0, compute=0.8, optimizer=0.1)
    whole: dict[str, object] = {
        "baseline": {},
        "setting": {"channels_last": True},
        "diagnoses": (),
        "noise_floor": 0.01,
        "heats": (HEAT,),
        "gain": GAIN,
        "samples_per_second": 100.0,
        "baseline_samples_per_second": 70.0,
        "peak_memory_bytes": 2**30,
        "split": split,
        "seconds": 300.0,
        **fields,
    }
    result = RaceResult.model_validate(whole)
    summary = SpeedSummary(task="t.py:T", device="cuda", num_cores=2, workload={}, result=result, code=())
    return "\n".join(ending_lines(summary))


def test_heat_in_turns_says_so_in_its_row() -> None:
    beside = HEAT.model_copy(update={"is_in_turns": False})
    assert [row[-1] for row in heat_rows([HEAT, beside])] == ["faster (in turns)", "faster"]


def test_race_in_turns_says_why_and_what_its_noise_is() -> None:
    text = lines(noise_floor=None, noise_floor_in_turns=0.02)
    assert "turns: no room for two of these trainings on the device" in text
    assert "two of one setting differ by up to 2.0% so" in text


def test_race_with_room_for_two_says_nothing_of_turns() -> None:
    assert "turns" not in lines(heats=(HEAT.model_copy(update={"is_in_turns": False}),))


def test_race_that_had_no_time_for_turns_says_what_it_needs() -> None:
    text = lines(is_cut_short=True, seconds_for_more=420.0, heats=(), gain=None, setting={})
    assert "Nothing was tried" in text
    assert "--seconds gives it longer (one more heat in turns: 420)" in text


def test_race_that_ended_with_what_was_known_says_why() -> None:
    text = lines(is_cut_short=True, ended_by="other processes hold 70 GiB", gain=None, setting={})
    assert "ended before everything was tried: other processes hold 70 GiB" in text
