"""Speed parameters: what each one is, where it applies, and how it is judged.

The measuring is a small library of its own, torch-free. A step is a function that trains one, and returns the samples
that it took, or nothing::

    from autotune.speed import compare, measure

    print(measure(step_with_lists).samples_per_second)
    print(compare(step_with_lists, step_with_tensors).interval)

A race finds the fastest of many settings; ``make_step`` gives the step of one, such as ``{"layout": "columns"}``::

    from autotune.speed import Entry, Knob, LocalArena, RacePlan, race

    layout = Knob(
        name="layout", summary="rows or columns first", docs="", numerics="exact", needs="live",
        simplest="rows", choices=("rows", "columns"),
    )
    plan = RacePlan(entries=(Entry(layout, layout.choices),), baseline={"layout": "rows"}, seconds=20)
    result = race(LocalArena(make_step), plan)
    print(result.setting, result.gain)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autotune.speed.knobs.entries import Entry
    from autotune.speed.knobs.knob import Knob
    from autotune.speed.measuring.comparison import Comparison, break_even_steps, compare, is_clear, is_out_of_reach
    from autotune.speed.measuring.local import LocalArena, LocalContestant
    from autotune.speed.measuring.measurement import Measurement, measure, noise_floor
    from autotune.speed.racing.plan import RacePlan, RaceWatch
    from autotune.speed.racing.race import race
    from autotune.speed.racing.result import RaceResult

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
    "Comparison": "measuring.comparison",
    "Entry": "knobs.entries",
    "Knob": "knobs.knob",
    "LocalArena": "measuring.local",
    "LocalContestant": "measuring.local",
    "Measurement": "measuring.measurement",
    "RacePlan": "racing.plan",
    "RaceResult": "racing.result",
    "RaceWatch": "racing.plan",
    "break_even_steps": "measuring.comparison",
    "compare": "measuring.comparison",
    "is_clear": "measuring.comparison",
    "is_out_of_reach": "measuring.comparison",
    "measure": "measuring.measurement",
    "noise_floor": "measuring.measurement",
    "race": "racing.race",
}
"""The module of each public name, imported when it is first asked for: those who want a knob import nothing else."""


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
