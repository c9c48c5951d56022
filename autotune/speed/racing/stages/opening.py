"""The first heat of a race: a setting that may be far better, and that knobs raced one at a time may never come to."""

from collections.abc import Iterator, Mapping

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, apply, changed, is_on, meaningful
from autotune.speed.measuring.bottleneck import LEAST_SHARE, Diagnosis
from autotune.speed.racing.heats.finish import Finish
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.stages.compiling import COMPILE, Compiling, is_compiled
from autotune.speed.racing.stages.precision import LossJudge, shortened

_WORKERS = "num_workers"
_FASTER = 4.0
"""What a guess may make of a step: more workers than such a one needs only start more slowly."""


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
        before = self._track.setting
        for setting in self._settings(diagnosis):
            finish = self._try(setting)
            if finish is None or finish.is_kept or finish.comparison.verdict != "faster":
                break  # what is refused for its digits is tried with all of them
        if self._plan.start is not None:
            return set()
        return {
            name for name, value in self._track.setting.items() if before.get(name, ...) != value and name != COMPILE
        }

    def _try(self, setting: Mapping[str, Scalar]) -> Finish | None:
        objection = self._judge.objection_to(setting)
        if is_compiled(setting, entries=self._plan.entries):
            return self._compiling.heat("start", setting, track=self._track, time=self._time, objection=objection)
        return self._track.heat("start", setting, objection=objection, may_adopt=True)

    def _settings(self, diagnosis: Diagnosis | None) -> Iterator[dict[str, Scalar]]:
        plan = self._plan
        first = plan.start if plan.start is not None else self._guess(diagnosis)
        if first is None or dict(first) == self._track.setting:
            return
        yield dict(first)
        fewer = shortened(first, baseline=plan.baseline, entries=plan.entries)
        exact = apply(first, {name: plan.baseline.get(name) for name in fewer})
        if fewer and exact != self._track.setting:
            yield exact

    def _guess(self, diagnosis: Diagnosis | None) -> Mapping[str, Scalar] | None:
        """The plan's, as far as it can move what a step waits for; in one graph where that will be launches."""
        plan, entries = self._plan, self._plan.entries
        if plan.guess is None or diagnosis is None:
            return plan.guess
        mode = self._compiling.first_mode(diagnosis, incumbent=self._track.incumbent, beside_fewer_digits=True)
        # What computes faster may show only when launches are gone; what feeds a step is left out where that will not
        # wait for data either.
        share = diagnosis.input_share if mode is None else diagnosis.input_share_at(_FASTER)
        idle = {entry.name for entry in entries if entry.knob.moves == ("input",) and share < LEAST_SHARE}
        guess: Mapping[str, Scalar] = apply(plan.guess, {name: plan.baseline.get(name) for name in idle})
        workers = next((entry for entry in entries if entry.name == _WORKERS), None)
        if workers is not None and is_on(guess.get(_WORKERS)):
            guess = {**guess, _WORKERS: _enough(workers, diagnosis)}
        guess = meaningful(guess, entries=entries)
        compiled = changed(guess, COMPILE, mode, entries=entries) if mode is not None else None
        return compiled or guess


def _enough(workers: Entry, diagnosis: Diagnosis) -> Scalar:
    """The fewest workers that keep up with a step that is several times as fast; the most there are, if none do."""
    share = diagnosis.input_share_at(_FASTER)
    needed = share / (1 - share)
    counts = sorted(value for value in workers.values if isinstance(value, int) and value > 0)
    return next((count for count in counts if count >= needed), counts[-1])
