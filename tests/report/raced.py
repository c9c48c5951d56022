"""A race that came to its end, written by hand."""

from autotune.coordinator.races.log import race_row
from autotune.coordinator.workloads import Workload
from autotune.recording.races import RaceRow
from autotune.speed.racing.result import BreakEven, Gain, Heat, RaceResult, Split, Surroundings

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
COSTLY = {
    "setting": {"precision": "bf16", "compile": "default"},
    "baseline": {"precision": "fp32", "compile": "off"},
    "reduced_precision": ("precision",),
    "break_evens": (BreakEven(knob="compile", start_seconds=30.0, steps=6_000, steps_that_remain=10_000),),
}
"""Fields of one whose winner asks for something in return."""
BESIDE = IN_TURNS.model_copy(update={"is_in_turns": False})
MEASURED = BESIDE.model_copy(
    update={
        "samples_per_second": 2345.6,
        "peak_memory_bytes": 3 * 2**28,
        "start_seconds": 1.25,
        "surroundings": Surroundings(
            allocator_retries=0,
            recompilations=2,
            load=(0.52, 1.31),
            clock_mhz=(2450.0, 2450.0),
            temperature_celsius=(61.0, 64.0),
        ),
    }
)
"""One with all that is told beside a throughput."""
UNPROVEN = BESIDE.model_copy(
    update={"stage": "confirm", "verdict": "rejected", "gain": GAIN.model_copy(update={"low": 0.99})}
)
"""The confirmation of a winner that was faster again, though not surely."""


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


def row_of(result: RaceResult, *, device: str = "cpu") -> RaceRow:
    """The race as it is recorded."""
    workload = Workload(task="t.py:T", device=device, num_cores=2, features={"batch_size": 32})
    return race_row(result, workload=workload, digest="a")
