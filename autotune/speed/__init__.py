"""Speed parameters: what each one is, where it applies, and how it is judged.

The measuring is a small library of its own, torch-free::

    from autotune.speed import compare

    print(compare(step_with_lists, step_with_tensors).interval)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autotune.speed.comparison import Comparison, break_even_steps, compare, is_clear, is_out_of_reach
    from autotune.speed.entries import Entry
    from autotune.speed.knob import Knob
    from autotune.speed.local import LocalArena, LocalContestant
    from autotune.speed.measurement import Measurement, measure, noise_floor
    from autotune.speed.plan import RacePlan, RaceWatch
    from autotune.speed.racing import race
    from autotune.speed.result import RaceResult

__all__ = [
    "Comparison",
    "Entry",
    "Knob",
    "LocalArena",
    "LocalContestant",
    "Measurement",
    "RacePlan",
    "RaceResult",
    "RaceWatch",
    "break_even_steps",
    "compare",
    "is_clear",
    "is_out_of_reach",
    "measure",
    "noise_floor",
    "race",
]

_HOMES = {
    "Comparison": "comparison",
    "Entry": "entries",
    "Knob": "knob",
    "LocalArena": "local",
    "LocalContestant": "local",
    "Measurement": "measurement",
    "RacePlan": "plan",
    "RaceResult": "result",
    "RaceWatch": "plan",
    "break_even_steps": "comparison",
    "compare": "comparison",
    "is_clear": "comparison",
    "is_out_of_reach": "comparison",
    "measure": "measurement",
    "noise_floor": "measurement",
    "race": "racing",
}
"""The module of each public name, imported when it is first asked for: those who want a knob import nothing else."""


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
