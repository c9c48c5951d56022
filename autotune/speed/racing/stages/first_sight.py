"""First sight: what can move everything (threads, allocators), looked at before anything is measured closely."""

from collections.abc import Mapping

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, apply, is_possible, meaningful
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.stages.order import moves_everything, outwards
from autotune.speed.racing.stages.precision import LossJudge
from autotune.speed.racing.stages.ways import Ways

_MOST_OF_THE_RACE = 0.5
"""Share of a race's time that looks at what can move everything may take at most."""


class FirstSight:
    """Adopts what is faster by far at two looks, and remembers that it is not proven.

    Args:
        track: Where the looks are taken.
        plan: The knobs and their values.
        judge: Knows settings that compute with fewer digits, by themselves or by what they bring along: these are not
            looked at, since no loss is judged at first sight.
        time: The race's.
    """

    def __init__(self, track: Track, plan: RacePlan, *, judge: LossJudge, time: RaceTime) -> None:
        self._track = track
        self._plan = plan
        self._judge = judge
        self._time = time
        self._ways = Ways(track.incumbency, plan)
        self._adopted: set[str] = set()

    def adopt(self) -> set[tuple[str, Scalar]]:
        """Look at each value, and adopt the first of a knob that is faster by far; the values that were replaced."""
        replaced: set[tuple[str, Scalar]] = set()
        for entry in self._plan.entries:
            if not moves_everything(entry):
                continue
            current = self._ways.current(entry)
            if any(self._is_adopted(entry, value) for value in outwards(current, entry.values)):
                self._adopted.add(entry.name)
                replaced.add((entry.name, current))
        return replaced

    def without(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The setting with the baseline's values of what was adopted; itself where that can't be."""
        restored = {name: self._plan.baseline.get(name) for name in self._adopted}
        candidate = meaningful(apply(setting, restored), entries=self._plan.entries)
        return candidate if is_possible(candidate, entries=self._plan.entries) else dict(setting)

    def _is_adopted(self, entry: Entry, value: Scalar) -> bool:
        """Whether the value was looked at, and adopted."""
        setting = self._ways.changed(entry, value)
        if setting is None or self._judge.objection_to(setting) is not None:
            return False
        # Even where slow steps leave no time for more: these may be what makes them slow.
        is_over = self._time.spent >= _MOST_OF_THE_RACE * self._plan.seconds
        return not is_over and self._track.adopt_at_first_sight(setting)
