"""The first heat of a race: a setting that may be far better, and that knobs raced one at a time may never come to."""

from collections.abc import Iterator, Mapping

from autotune.events import Scalar
from autotune.speed.knobs.entries import apply, changed
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.racing.compiling import COMPILE, Compiling, is_compiled
from autotune.speed.racing.finish import Finish
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.precision import LossJudge, shortened
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.track import Track


class Opening:
    """Tries the winner of a workload like this one, or where none is known what the guides name for the device.

    Args:
        track: Where the heats are run.
        plan: Has the setting.
        judge: Of one that computes with fewer digits; where it objects, the setting is tried with all of them.
        compiling: Of a guess, where a step waits for launches: beside them nothing that it names would show.
        time: The race's.
    """

    def __init__(self, track: Track, plan: RacePlan, *, judge: LossJudge, compiling: Compiling, time: RaceTime) -> None:
        self._track = track
        self._plan = plan
        self._judge = judge
        self._compiling = compiling
        self._time = time

    def open(self, diagnosis: Diagnosis | None) -> set[str]:
        """Adopt what is faster; what of a guess has changed then, which nobody has tried part by part.

        Args:
            diagnosis: Of the incumbent.
        """
        before = self._setting
        mode = self._compiling.first_mode(diagnosis, incumbent=self._track.incumbent)
        for setting in self._settings(mode):
            finish = self._try(setting)
            if finish is None or finish.is_kept or finish.comparison.verdict != "faster":
                break  # what is refused for its digits is tried with all of them
        if self._plan.start is not None:
            return set()
        return {name for name, value in self._setting.items() if before.get(name, ...) != value and name != COMPILE}

    def _try(self, setting: Mapping[str, Scalar]) -> Finish | None:
        objection = self._judge.objection_to(setting)
        if is_compiled(setting, entries=self._plan.entries):
            return self._compiling.heat("start", setting, track=self._track, time=self._time, objection=objection)
        return self._track.heat("start", setting, objection=objection, may_adopt=True)

    def _settings(self, mode: Scalar | None) -> Iterator[dict[str, Scalar]]:
        plan = self._plan
        first = plan.start
        if first is None and plan.guess is not None:
            compiled = changed(plan.guess, COMPILE, mode, entries=plan.entries) if mode is not None else None
            first = compiled or plan.guess
        if first is None or dict(first) == self._setting:
            return
        yield dict(first)
        fewer = shortened(first, baseline=plan.baseline, entries=plan.entries)
        exact = apply(first, {name: plan.baseline.get(name) for name in fewer})
        if fewer and exact != self._setting:
            yield exact

    @property
    def _setting(self) -> dict[str, Scalar]:
        return dict(self._track.incumbent.setting)
