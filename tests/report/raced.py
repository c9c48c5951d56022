"""A race that came to its end, written by hand."""

from autotune.speed.racing.result import Gain, Heat, RaceResult, Split

GAIN = Gain(ratio=1.4, low=1.3, high=1.5, num_quads=4, is_in_turns=True)
IN_TURNS = Heat(
    stage="screen",
    setting={"channels_last": True},
    changes={"channels_last": True},
    verdict="kept",
    reason="faster",
    gain=GAIN,
    is_in_turns=True,
)
BESIDE = IN_TURNS.model_copy(update={"is_in_turns": False})


def result_of(**fields: object) -> RaceResult:
    """One heat in turns, unless told otherwise."""
    whole: dict[str, object] = {
        "baseline": {},
        "setting": {"channels_last": True},
        "diagnoses": (),
        "noise_floor": None,
        "heats": (IN_TURNS,),
        "gain": GAIN,
        "samples_per_second": 100.0,
        "baseline_samples_per_second": 70.0,
        "peak_memory_bytes": 2**30,
        "split": Split(data_wait=0.1, copy_to_device=0.0, compute=0.8, optimizer=0.1),
        "seconds": 300.0,
        **fields,
    }
    return RaceResult.model_validate(whole)
