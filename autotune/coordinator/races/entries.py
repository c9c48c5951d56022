"""The knobs that a race tries, with their values: of a spec, for a workload, and where a former race is known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.search.space import SearchSpace, SpaceParameter
from autotune.speed.knobs.entries import Entry, in_setting
from autotune.speed.knobs.knob import Knob
from autotune.speed.racing.repayment import may_compile_now
from autotune.speed.racing.result import RaceResult
from autotune.speed.racing.run_length import RunLength
from autotune.speed.racing.stages.compiling import COMPILE

_NEAR_MISS = 0.97
"""A knob that lost by more than this on the nearest workload is not tried again on this one."""


def entries_of(space: SearchSpace, *, knobs: Mapping[str, Knob], num_cores: int, machine: Machine) -> tuple[Entry, ...]:
    """The searched speed parameters as a race takes them: choices as they are, of a range what is worth trying.

    A range that holds too little of that is tried at both of its ends.
    """
    entries = []
    for parameter in space.speed:
        knob = knobs[parameter.name]
        values = parameter.choices
        if not values:
            worth = [v for v in knob.candidates(machine, num_cores=num_cores) if _is_in_range(v, parameter)]
            values = tuple(worth) if len(worth) > 1 else (parameter.low, parameter.high)
        if len(values) > 1:
            entries.append(Entry(knob.on(machine), values))
    return tuple(entries)


def possible_entries(
    entries: Sequence[Entry], *, space: SearchSpace, learning: Mapping[str, Scalar]
) -> tuple[Entry, ...]:
    """The entries with those values alone that go with these learning parameters (``fused`` with a fused optimizer)."""
    parameters = {parameter.name: parameter for parameter in space.speed}
    possible = []
    for entry in entries:
        parameter = parameters[entry.name]
        legal = parameter.legal_choices(learning) if parameter.type == "choices" else entry.values
        values = tuple(value for value in entry.values if value in legal)
        if len(values) > 1:
            possible.append(replace(entry, values=values))
    return tuple(possible)


def entries_near(entries: Sequence[Entry], former: RaceResult, *, run: RunLength) -> tuple[Entry, ...]:
    """The entries whose knobs won a former race, came near, or were passed over for want of steps that a run has."""
    return tuple(entry for entry in entries if _is_near(entry, former, run=run))


def is_slow_to_start(setting: Mapping[str, Scalar], *, entries: Sequence[Entry]) -> bool:
    """Whether a training's first step is known to take far longer, perhaps, with this setting than with another."""
    slow = [entry for entry in entries if entry.knob.is_slow_to_start and not entry.knob.has_unknown_start]
    return any(in_setting(setting, entry.name, entries) != entry.knob.simplest for entry in slow)


def _is_in_range(value: Scalar, parameter: SpaceParameter) -> bool:
    if not parameter.has_value(value, choices=()):
        return False
    assert isinstance(value, int)
    assert isinstance(parameter.low, int)
    return (value - parameter.low) % int(parameter.step or 1) == 0


def _is_near(entry: Entry, former: RaceResult, *, run: RunLength) -> bool:
    if entry.name == COMPILE and may_compile_now(former, run):
        return True
    # How far a winner is ahead of an informed guess says nothing of a knob.
    ratios = [
        heat.gain.ratio
        for heat in former.heats
        if heat.gain is not None and heat.stage != "informed" and entry.name in heat.changes
    ]
    return entry.name in former.kept or max(ratios, default=0.0) >= _NEAR_MISS
