"""Stacking: what several winners of a screening come to together."""

from collections.abc import Mapping, Sequence

from autotune.events import Scalar
from autotune.speed.knobs.entries import apply, difference, is_possible, meaningful
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.racing.heats.finish import Finish
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.stages.precision import LossJudge


class Stacking:
    """Puts winners on top of each other, each of which beat the same incumbent.

    Args:
        track: Where the heats are run.
        plan: The knobs and their values.
        judge: Objects to settings that compute with fewer digits, where they do not learn as well.
        time: The race's.
    """

    def __init__(self, track: Track, plan: RacePlan, *, judge: LossJudge, time: RaceTime) -> None:
        self._track = track
        self._plan = plan
        self._judge = judge
        self._time = time
        self.no_faster: set[str] = set()
        """Knobs that were put on top of another winner and made it no faster: they may yet, beside what comes later."""

    def stack(self, winners: Sequence[Finish]) -> set[str]:
        """Adopt the best winner, and of the others what makes it faster still; the names of what changed."""
        before = self._track.setting
        others = self._adopt_first(sorted(winners, key=lambda finish: finish.ratio, reverse=True))
        changes = [difference(before, winner.setting) for winner in others]
        is_kept = self._try(changes)
        if not is_kept and len(changes) > 1:  # together they hinder each other
            for change in changes:
                self._try([change])
        return set(difference(before, self._track.setting))

    def _adopt_first(self, winners: Sequence[Finish]) -> Sequence[Finish]:
        """Adopt the first of them that can be started again, and return those behind it.

        A single one is not started again where no heat can follow: it is confirmed on fresh contestants.
        """
        if len(winners) == 1 and not self._time.has_room_for_a_heat:
            self._track.incumbency.pass_to(winners[0].challenger)
            return ()
        for number, winner in enumerate(winners, start=1):
            try:
                self._track.adopt(winner.setting)
            except ContestantLostError as error:
                self._track.lose("stack", winner.setting, error)
            else:
                return winners[number:]
        return ()

    def _try(self, changes: Sequence[Mapping[str, Scalar]]) -> bool:
        """Adopt the incumbent with these changes if it is no slower; whether it was, or they change nothing."""
        setting = self._merged(changes)
        if setting == self._track.setting:
            return True
        if not self._time.take_for_stacking():
            return False
        objection = self._judge.objection_to(setting)
        finish = self._track.heat("stack", setting, objection=objection, may_adopt=True, bar="no slower together")
        is_kept = finish is not None and finish.is_kept
        if finish is not None and is_kept and finish.comparison.verdict == "tie":
            self.no_faster |= {name for change in changes for name in change}
        return is_kept

    def _merged(self, changes: Sequence[Mapping[str, Scalar]]) -> dict[str, Scalar]:
        """The incumbent's setting with these changes, less those that can't go together with what is there."""
        setting = self._track.setting
        for change in changes:
            candidate = meaningful(apply(setting, change), entries=self._plan.entries)
            kept_all = all(candidate.get(name) == value for name, value in self._kept_values(setting).items())
            if is_possible(candidate, entries=self._plan.entries) and kept_all:
                setting = candidate
        return setting

    def _kept_values(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The values that were won so far, which no weaker winner may take back."""
        return {name: value for name, value in setting.items() if self._plan.baseline.get(name, ...) != value}
