"""The first heat of a race: a setting that may be far better, and that knobs raced one at a time may never come to."""

from collections.abc import Iterator, Mapping

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, apply, is_on, meaningful
from autotune.speed.measuring.bottleneck import LEAST_SHARE, Diagnosis
from autotune.speed.racing.heats.finish import Finish
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.stages.compiling import COMPILE, Compiling, is_compiled
from autotune.speed.racing.stages.launching import CUDA_GRAPH, Launching, is_replayed
from autotune.speed.racing.stages.precision import LossJudge, shortened

_WORKERS = "num_workers"
_FASTER = 4.0
"""Times as fast as a guess may make a step: more workers than such a step needs only start more slowly."""
_FASTER_RECORDED = 8.0
"""Times as fast as a guess may make a step that is recorded as a whole, and compiled in the end."""


class Opening:
    """Tries the winner of a workload like this one, or where none is known what the guides name for the device.

    Args:
        track: Where the heats are run.
        plan: Has the winner or the guess.
        judge: Objects to fewer digits; the setting is tried with all of them then.
        launching: Does away with launches where a step waits for them: beside these nothing of a guess would show.
        compiling: Runs the heat of a setting that compiles its step.
        time: The race's.
    """

    def __init__(
        self,
        track: Track,
        plan: RacePlan,
        *,
        judge: LossJudge,
        launching: Launching,
        compiling: Compiling,
        time: RaceTime,
    ) -> None:
        self._track = track
        self._plan = plan
        self._judge = judge
        self._launching = launching
        self._compiling = compiling
        self._time = time

    def open(self, diagnosis: Diagnosis | None) -> set[str]:
        """Adopt what is faster; the knobs that a guess has changed then, which nobody has tried part by part.

        Args:
            diagnosis: The incumbent's; None where nobody knows it.
        """
        if self._plan.start is not None:
            self._open_known(self._plan.start)
            return set()
        before = self._track.setting
        for setting in self._guesses(diagnosis):
            if not self._has_time_for(setting) or self._meet(setting) is not None:
                break  # else it can't be trained with: there may be another way
        replayed = {COMPILE, CUDA_GRAPH}
        return {
            name
            for name, value in self._track.setting.items()
            if before.get(name, ...) != value and name not in replayed
        }

    def _open_known(self, winner: Mapping[str, Scalar]) -> None:
        """Try what won elsewhere, and compile it only then: its own gain alone must repay what compiling costs."""
        entries = self._plan.entries
        plain = meaningful(apply(winner, {COMPILE: self._plan.baseline.get(COMPILE)}), entries=entries)
        tried: dict[str, Scalar] | None = plain
        if plain != self._track.setting:
            if not self._has_time_for(plain):
                return
            tried = self._meet(plain)
        before = self._track.setting if tried is None else tried
        compiled = apply(before, {COMPILE: winner.get(COMPILE)})
        if compiled != before and self._has_time_for(compiled):
            self._try(compiled)

    def _has_time_for(self, setting: Mapping[str, Scalar]) -> bool:
        """Whether the setting may still win; where it may not, that is recorded."""
        if self._time.may_still_win:
            return True
        self._time.note_cut_short()
        self._track.skip("start", setting, reason="no time is left to meet and confirm it")
        return False

    def _meet(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """Run the heat of a setting, and of the same with all digits where it is refused for its fewer ones.

        The last of them that was tried; None where it can't be trained with.
        """
        before = self._track.setting
        finish = self._try(setting)
        if finish is None:
            return None
        fewer = shortened(setting, baseline=self._plan.baseline, entries=self._plan.entries)
        exact = apply(setting, {name: self._plan.baseline.get(name) for name in fewer})
        is_refused = fewer and not finish.is_kept and finish.comparison.verdict == "faster"
        if not is_refused or exact == before or not self._time.may_still_win:
            return dict(setting)
        self._try(exact)
        return exact

    def _try(self, setting: Mapping[str, Scalar]) -> Finish | None:
        """Run the heat of a setting, which is adopted where it is faster; None where it can't be trained with."""
        objection = self._judge.objection_to(setting)
        if is_compiled(setting, entries=self._plan.entries):
            self._time.keep_for_compiling(0.0)  # this is what it was kept for
            return self._compiling.heat("start", setting, track=self._track, time=self._time, objection=objection)
        return self._track.heat("start", setting, objection=objection, may_adopt=True)

    def _guesses(self, diagnosis: Diagnosis | None) -> Iterator[dict[str, Scalar]]:
        """Guesses to try, the best first; each further one is for where those before it can't be trained with."""
        plan = self._plan
        if plan.guess is None:
            return
        incumbent = self._track.incumbent
        for way in self._launching.ways(plan.guess, diagnosis, incumbent=incumbent, beside_fewer_digits=True):
            yield self._meant(way, diagnosis)
        guess = self._meant(plan.guess, diagnosis)
        if guess != self._track.setting:
            yield guess

    def _meant(self, guess: Mapping[str, Scalar], diagnosis: Diagnosis | None) -> dict[str, Scalar]:
        """The guess, as far as it can move what a step will wait for."""
        plan, entries = self._plan, self._plan.entries
        if diagnosis is None:
            return dict(guess)
        # What computes faster may show only when launches are gone; what feeds a step is left out where that will not
        # wait for data either.
        faster = _FASTER_RECORDED if is_on(guess.get(CUDA_GRAPH)) else _FASTER
        share = diagnosis.input_share_at(faster) if is_replayed(guess) else diagnosis.input_share
        idle = {entry.name for entry in entries if entry.knob.moves == ("input",) and share < LEAST_SHARE}
        guess = apply(guess, {name: plan.baseline.get(name) for name in idle})
        workers = next((entry for entry in entries if entry.name == _WORKERS), None)
        if workers is not None and is_on(guess.get(_WORKERS)):
            guess = {**guess, _WORKERS: _enough(workers, diagnosis.input_share_at(faster))}
        return meaningful(guess, entries=entries)


def _enough(workers: Entry, share: float) -> Scalar:
    """The fewest workers that keep up with a step of which this share is data; the most there are, if none do."""
    needed = share / (1 - share)
    counts = sorted(value for value in workers.values if isinstance(value, int) and value > 0)
    return next((count for count in counts if count >= needed), counts[-1])
