"""One heat: a challenger that has entered meets the incumbent, and what comes of it is recorded."""

from dataclasses import dataclass, replace

from autotune.events import Scalar
from autotune.speed.knobs.entries import apply, difference
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.comparison import LOUD_NOISE, Comparison
from autotune.speed.racing.heats.enough import Bar
from autotune.speed.racing.heats.finish import Finish, Objection, clears, finish_words
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.meeting import SLOWER_BY_FAR, HeatTime, Looks, Meeting
from autotune.speed.racing.heats.records import Heats, idle_words
from autotune.speed.racing.heats.shared_arena import SharedContestant
from autotune.speed.racing.result import HeatStage, Verdict


@dataclass(frozen=True)
class Terms:
    """What a heat is for, and what its challenger must show to be kept."""

    stage: HeatStage
    """The part of the race that the heat belongs to."""
    bar: Bar
    """What the challenger is held to."""
    objection: Objection | None
    """Asked about a challenger that clears the bar: why it is not kept nevertheless."""


class Challenge:
    """Whether the challenger is worth a comparison, and what that comes to.

    Args:
        incumbency: Has whom the challenger meets, and the noise of that.
        challenger: A contestant that has entered.
        terms: What the challenger is held to.
        heats: Where the heat's end is recorded.
        time: The time that the race has for it.
        began: When the heat was begun, by the race's clock.
    """

    def __init__(
        self,
        incumbency: Incumbency,
        challenger: SharedContestant,
        *,
        terms: Terms,
        heats: Heats,
        time: HeatTime,
        began: float,
    ) -> None:
        self._incumbency = incumbency
        self._challenger = challenger
        self._terms = terms
        self._heats = heats
        self._time = time
        self._began = began

    def run(self, way: Meeting) -> Finish | None:
        """How the heat ended, which is recorded; None where nothing was compared: no time was left, or no hope."""
        challenger, incumbency = self._challenger, self._incumbency
        if self._terms.stage == "start":
            without = dict.fromkeys((*self._without_effect(), *self._already_so()))
            setting = incumbency.holder.setting
            challenger.restate(apply(challenger.setting, {name: setting.get(name) for name in without}))
        if way.is_in_turns:
            seconds = incumbency.seconds_in_turns(challenger)
            if self._terms.objection is not None:
                seconds += self._terms.objection.num_starts * challenger.start_seconds
            if not self._time.may_take_turns(seconds):
                reason = (
                    f"no room beside the setting to beat, and no time to take turns with it (about {seconds:.0f} s)"
                )
                self._heats.skipped(self._terms.stage, challenger.setting, changes=self._changes, reason=reason)
                return None
            incumbency.find_noise_floor_in_turns()
        if (idle := self._why_idle()) is not None:
            self._end(way, verdict="rejected", reason=idle)
            return None
        looks = self._look(way)
        if looks is not None and (slower := min(1 / ratio for ratio in looks.ratios)) >= SLOWER_BY_FAR:
            reason = f"{slower:.1f} times slower at first sight"
            self._end(way, verdict="rejected", reason=reason, seen=looks)
            return None
        found = way.screen(incumbency.holder, challenger, bar=self._terms.bar, time=self._time)
        return self._finish(way, self._beyond_noise(found))

    def _finish(self, way: Meeting, comparison: Comparison) -> Finish:
        """Decide on a challenger that was compared, and record it."""
        is_cleared, challenger = clears(comparison, self._terms.bar), self._challenger
        against = None
        if is_cleared and self._terms.objection is not None:
            against = self._terms.objection.ask(self._incumbency.holder, challenger, comparison)
        is_kept = is_cleared and against is None
        reason = against or finish_words(comparison, bar=self._terms.bar)
        self._end(way, verdict="kept" if is_kept else "rejected", reason=reason, seen=comparison)
        return Finish(challenger, comparison, is_kept=is_kept)

    def _end(
        self,
        way: Meeting,
        *,
        verdict: Verdict,
        reason: str,
        seen: Comparison | Looks | None = None,
    ) -> None:
        """Record how the heat ended, with what was measured in it."""
        self._heats.over(
            self._terms.stage,
            self._challenger,
            changes=self._changes,
            verdict=verdict,
            reason=reason,
            began=self._began,
            seen=seen,
            is_in_turns=way.is_in_turns,
        )

    @property
    def _changes(self) -> dict[str, Scalar]:
        return difference(self._incumbency.holder.setting, self._challenger.setting)

    def _beyond_noise(self, comparison: Comparison) -> Comparison:
        """The comparison, judged by a second look at the noise where a doubtful noise floor alone makes it a tie.

        A gain whose whole interval lies beyond what is loud needs no second look.
        """
        beside = self._incumbency.beside
        is_held_back = comparison.verdict == "tie" and comparison.interval[0] > 1
        if comparison.is_in_turns or not is_held_back or not beside.is_noise_doubtful:
            return comparison
        if comparison.interval[0] > 1 + LOUD_NOISE:
            return replace(comparison, noise_floor=LOUD_NOISE)
        if not self._incumbency.has_time_for_noise(self._time):
            return comparison
        try:
            self._incumbency.look_at_noise(self._time)
        except ContestantLostError:
            if self._incumbency.holder.is_retired:
                raise
        return replace(comparison, noise_floor=beside.noise_floor or 0.0)

    def _why_idle(self) -> str | None:
        """Why the challenger need not be looked at: what it changes does not take hold; None where it does."""
        for name in self._without_effect():
            return idle_words(name, self._challenger.warmed.in_force[name])
        return None

    def _look(self, way: Meeting) -> Looks | None:
        """A first look; None for one that was a winner, which a moment of the machine's would make slower by far."""
        if self._terms.bar == "better of two winners":
            return None
        return way.look(self._incumbency.holder, self._challenger)

    def _without_effect(self) -> list[str]:
        """Knobs that the challenger sets and that do not take hold, as its start has shown."""
        in_force = self._challenger.warmed.in_force
        changes = self._changes.items()
        return [name for name, value in changes if value is not None and in_force.get(name, value) != value]

    def _already_so(self) -> list[str]:
        """Knobs that the challenger sets and that hold for the incumbent unasked."""
        in_force = self._incumbency.holder.warmed.in_force
        changes = self._changes.items()
        return [name for name, value in changes if value is not None and in_force.get(name) == value]
