"""What a race tries: knobs with their values, and settings in which every knob means something."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.speed.knobs.knob import Companion, Knob
from autotune.speed.knobs.table import KNOBS

Setting = Mapping[str, Scalar]
"""Speed parameters by name; what is absent is as torch has it."""


@dataclass(frozen=True)
class Entry:
    """A knob that takes part in a race, with the values that are tried."""

    knob: Knob
    values: tuple[Scalar, ...]

    @property
    def name(self) -> str:
        """The knob's name."""
        return self.knob.name


def all_entries(knobs: Iterable[Knob], *, machine: Machine, num_cores: int) -> tuple[Entry, ...]:
    """Every knob that applies on this machine, is raced unasked, and has two values or more."""
    entries = [
        Entry(knob.on(machine), knob.candidates(machine, num_cores=num_cores))
        for knob in knobs
        if knob.is_raced and knob.applies(machine) is None
    ]
    return tuple(entry for entry in entries if len(entry.values) > 1)


def changed(setting: Setting, name: str, value: Scalar, *, entries: Sequence[Entry]) -> dict[str, Scalar] | None:
    """The setting with another value of one knob, and with what goes together with it.

    A companion that the value needs is set along, where it takes part in the race; a knob that
    means nothing any more is left out. None where the value needs what may not be changed.
    """
    known = {entry.name: entry for entry in entries}
    wanted = {**setting, name: value}
    for companion in known[name].knob.companions:
        other = companion.knob
        if companion.choice != value or _is_there(companion, wanted, entries):
            continue
        allowed = [v for v in companion.values if other in known and v in known[other].values]
        if not allowed:
            return None
        wanted[other] = allowed[0]
    wanted = meaningful(wanted, entries=entries)
    return wanted if name in wanted and is_possible(wanted, entries=entries) else None


def meaningful(setting: Setting, *, entries: Sequence[Entry]) -> dict[str, Scalar]:
    """The setting without the knobs whose own condition no longer holds (``prefetch_factor`` without workers)."""
    kept = dict(setting)
    for entry in entries:
        parent = entry.knob.needs_positive
        if entry.name in kept and parent is not None and not is_on(in_setting(kept, parent, entries)):
            del kept[entry.name]
    return kept


def is_possible(setting: Setting, *, entries: Sequence[Entry]) -> bool:
    """Whether every choice has the company that it needs."""
    for entry in entries:
        for companion in entry.knob.companions:
            is_chosen = in_setting(setting, entry.name, entries) == companion.choice
            if is_chosen and not _is_there(companion, setting, entries):
                return False
    return True


def _is_there(companion: Companion, setting: Setting, entries: Sequence[Entry]) -> bool:
    """Whether the other knob has a value that goes with the choice; one that does not take part is as torch has it."""
    value = in_setting(setting, companion.knob, entries)
    if value is None and companion.knob in KNOBS:
        value = KNOBS[companion.knob].simplest
    return value in companion.values


def is_open(entry: Entry, setting: Setting, *, entries: Sequence[Entry]) -> bool:
    """Whether the knob means anything beside this setting."""
    parent = entry.knob.needs_positive
    return parent is None or is_on(in_setting(setting, parent, entries))


def in_setting(setting: Setting, name: str, entries: Sequence[Entry]) -> Scalar:
    """The knob's value; its simplest where the setting is silent, None for a knob that does not take part."""
    if name in setting:
        return setting[name]
    return next((entry.knob.simplest for entry in entries if entry.name == name), None)


def is_on(value: Scalar) -> bool:
    """Whether a knob that others depend on is above zero, or switched on."""
    return isinstance(value, int | float) and value > 0


def difference(before: Mapping[str, Scalar], after: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """What is new or other in ``after``; a knob that is gone from it stands with None."""
    gone: dict[str, Scalar] = {name: None for name in before if name not in after}
    return gone | {name: value for name, value in after.items() if name not in before or before[name] != value}


def apply(setting: Mapping[str, Scalar], changes: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The setting with changes as ``difference`` gives them."""
    return {name: value for name, value in {**setting, **changes}.items() if value is not None}
