"""One incumbent and the challengers that it meets: each heat is measured, recorded, and never lost."""

from collections.abc import Mapping
from dataclasses import replace

from autotune.events import Scalar
from autotune.spec.written import written
from autotune.speed.knobs.entries import apply, difference
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.comparison import LOUD_NOISE, Comparison
from autotune.speed.racing.heats.finish import Finish, Objection, clears, finish_words
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.meeting import FASTER_BY_FAR, SLOWER_BY_FAR, Allowance, Bar, Looks, Meeting
from autotune.speed.racing.heats.records import Clock, Heats
from autotune.speed.racing.heats.turns import SharedArena, SharedContestant
from autotune.speed.racing.pace import NUM_SEEDS, Pace
from autotune.speed.racing.plan import RaceWatch
from autotune.speed.racing.result import Stage


class Track:
    """Where heats are run against the incumbent, which stays alive from one to the next where it has room."""

    def __init__(
        self,
        arena: SharedArena,
        *,
        baseline: Mapping[str, Scalar],
        pace: Pace,
        watch: RaceWatch,
        clock: Clock,
    ) -> None:
        """Enter the baseline as the first incumbent.

        Raises:
            ContestantLostError: It can't be trained with.
        """
        self.arena = arena
        self.pace = pace
        self.heats = Heats(watch.heat_over, clock=clock)
        self._begun = watch.heat_begun
        self.incumbency = Incumbency(arena, baseline=baseline, pace=pace, clock=clock)
        self._clock = clock
        self._hung: list[dict[str, Scalar]] = []
        """What challengers that hung had and the setting to beat had not: each cost as long as a race waits for one."""

    def close(self) -> None:
        """Retire the incumbent."""
        self.incumbent.retire()

    @property
    def incumbent(self) -> SharedContestant:
        """The contestant with the setting to beat."""
        return self.incumbency.holder

    @property
    def setting(self) -> dict[str, Scalar]:
        """The setting to beat."""
        return dict(self.incumbent.setting)

    @property
    def is_floor_known(self) -> bool:
        """What two contestants of one setting differ by was measured."""
        return self.incumbency.is_floor_known

    def find_noise_floor(self) -> None:
        """Measure the incumbent against a twin of it; see Incumbency. Tried again where one of the two is lost.

        Raises:
            ContestantLostError: The incumbent's setting can't be started again.
        """
        try:
            self.incumbency.find_noise_floor()
        except ContestantLostError as error:
            self.rescue(error)
            self.incumbency.find_noise_floor()

    def heat(
        self,
        stage: Stage,
        setting: Mapping[str, Scalar],
        *,
        objection: Objection | None = None,
        may_adopt: bool = False,
        bar: Bar = "faster",
    ) -> Finish | None:
        """Measure a setting against the incumbent; None where it can't be trained with, which is recorded.

        What hung once is not tried again, beside whatever else, and recorded no second time.

        Args:
            stage: Part of the race.
            setting: The challenger's.
            objection: Asked about a challenger that is faster: why it is not kept nevertheless.
            may_adopt: A challenger that is kept becomes the incumbent.
            bar: What it is held to.
        """
        if self._has_hung(setting):
            return None
        began = self._clock()
        self._begun(stage, self._changes(setting))
        challenger: SharedContestant | None = None
        finish: Finish | None = None
        try:
            challenger = entered = self.arena.enter(dict(setting))

            def measure(way: Meeting) -> Finish | None:
                return self._heat(stage, entered, way, objection=objection, bar=bar, began=began)

            finish = self.incumbency.meet(challenger, measure)
        except ContestantLostError as error:
            self._lose(stage, setting, error, challenger=challenger, began=began)
        finally:
            is_adopted = finish is not None and may_adopt and finish.is_kept
            if challenger is not None and not is_adopted:
                challenger.retire()
        if challenger is not None and is_adopted:
            self.incumbency.pass_to(challenger)
        return finish

    def adopt_at_first_sight(self, setting: Mapping[str, Scalar]) -> bool:
        """Make a setting the incumbent if two looks agree that it is faster by far; whether they do.

        The confirmation at the end is all the proof that it gets: an incumbent that is slow for a
        reason like this would make everything else slow to measure, and hide it in its noise.
        """
        if self._has_hung(setting):
            return False
        began = self._clock()
        challenger: SharedContestant | None = None
        try:
            challenger = entered = self.arena.enter(dict(setting))

            def look(way: Meeting) -> tuple[Looks, bool]:
                return way.look(self.incumbent, entered), way.is_in_turns

            looks, is_in_turns = self.incumbency.meet(challenger, look)
        except ContestantLostError as error:
            self._lose("screen", setting, error, challenger=challenger, began=began)
            return False
        if min(looks.ratios) < FASTER_BY_FAR:
            challenger.retire()
            return False
        changes = self._changes(setting)
        self.heats.adopted(challenger, looks, changes=changes, began=began, is_in_turns=is_in_turns)
        self.incumbency.pass_to(challenger)
        return True

    def adopt(self, setting: Mapping[str, Scalar]) -> None:
        """Make a setting the incumbent that was measured before.

        Raises:
            ContestantLostError: It can't be trained with after all.
        """
        self.incumbency.pass_to(self.arena.enter(dict(setting)))

    def fall_back(self) -> None:
        """Make the baseline the setting to beat, of which no more is asked than what was measured of it."""
        self.incumbency.pass_to(self.incumbency.baseline)

    def confirm(
        self,
        stage: Stage,
        against: Mapping[str, Scalar],
        *,
        changes: Mapping[str, Scalar],
        allowance: Allowance,
        setting: Mapping[str, Scalar] | None = None,
    ) -> Comparison | None:
        """The incumbent's setting over another one's, both on fresh contestants and with more blocks.

        None where one of the two can't be trained with; the incumbent is retired then.

        Args:
            stage: Part of the race.
            against: The other one.
            changes: What the heat is shown by.
            allowance: Says how long the race has for it; asked once both have entered.
            setting: Becomes the incumbent's first, where it is given.
        """
        began = self._clock()
        self._begun(stage, changes)
        setting = dict(self.incumbent.setting if setting is None else setting)
        self.incumbent.retire()
        other: SharedContestant | None = None
        try:
            other = opponent = self.arena.enter(dict(against))
            self.adopt(setting)
            comparison = self.incumbency.meet(
                self.incumbent,
                lambda way: way.confirm(opponent, self.incumbent, allowance=allowance),
                holder=opponent,
            )
        except ContestantLostError as error:
            is_other = other is None or other.is_retired
            self.heats.lost(stage, against if is_other else setting, error, changes=changes, began=began)
            self.incumbent.retire()
            return None
        finally:
            if other is not None:
                other.retire()
        is_kept = comparison.verdict == "faster"
        is_guess_faster = stage == "informed" and comparison.verdict == "slower"
        self.heats.over(
            stage,
            self.incumbent,
            changes=changes,
            verdict="kept" if is_kept else "rejected",
            reason="the guess is faster" if is_guess_faster else finish_words(comparison),
            began=began,
            comparison=comparison,
            is_in_turns=comparison.is_in_turns,
        )
        return comparison

    def skip(self, stage: Stage, setting: Mapping[str, Scalar], *, reason: str) -> None:
        """Record that a setting was passed over, and why."""
        self.heats.skipped(stage, setting, changes=self._changes(setting), reason=reason)

    def lose(self, stage: Stage, setting: Mapping[str, Scalar], error: ContestantLostError) -> None:
        """Record that a setting can't be trained with after all."""
        self.heats.lost(stage, setting, error, changes=self._changes(setting), began=self._clock())

    def rescue(self, error: ContestantLostError, *, stage: Stage = "screen") -> None:
        """Record that the incumbent was lost, and let it enter anew, or the baseline in its stead.

        Raises:
            ContestantLostError: Neither can be trained with any more.
        """
        lost = dict(self.incumbent.setting)
        self._record_lost_incumbent(
            stage, lost, ContestantLostError(error.kind, f"the setting to beat was lost: {error}")
        )
        self._restore(stage)

    def _heat(
        self,
        stage: Stage,
        challenger: SharedContestant,
        way: Meeting,
        *,
        objection: Objection | None,
        bar: Bar,
        began: float,
    ) -> Finish | None:
        if stage == "start":
            without = dict.fromkeys((*self._without_effect(challenger), *self._already_so(challenger)))
            challenger.restate(apply(challenger.setting, {name: self.incumbent.setting.get(name) for name in without}))
        changes = self._changes(challenger.setting)
        if way.is_in_turns:
            seconds = self.incumbency.seconds_in_turns(challenger)
            if objection is not None and stage != "compile":  # its losses are judged, one start for each seed and side
                seconds += 2 * NUM_SEEDS * challenger.start_seconds
            if not self.incumbency.has_time(seconds):
                reason = (
                    f"no room beside the setting to beat, and no time to take turns with it (about {seconds:.0f} s)"
                )
                self.heats.skipped(stage, challenger.setting, changes=changes, reason=reason)
                return None
            self.incumbency.find_noise_floor_in_turns()
        if (hopeless := self._why_hopeless(challenger, way, bar=bar)) is not None:
            self.heats.over(
                stage,
                challenger,
                changes=changes,
                verdict="rejected",
                reason=hopeless,
                began=began,
                is_in_turns=way.is_in_turns,
            )
            return None
        comparison = self._beyond_noise(
            way.screen(self.incumbent, challenger, bar=bar, quads_left=self.incumbency.quads_left)
        )
        is_cleared = clears(comparison, bar)
        against = objection(self.incumbent, challenger, comparison) if is_cleared and objection else None
        finish = Finish(dict(challenger.setting), comparison, is_kept=is_cleared and against is None)
        self.heats.over(
            stage,
            challenger,
            changes=changes,
            verdict="kept" if finish.is_kept else "rejected",
            reason=against or finish_words(comparison, bar=bar),
            began=began,
            comparison=comparison,
            is_in_turns=way.is_in_turns,
        )
        return finish

    def _beyond_noise(self, comparison: Comparison) -> Comparison:
        """The comparison; where a doubtful noise floor alone makes it a tie, judged by a second look at that.

        A gain of which all that is likely lies beyond what is loud needs none: that was a moment of the noise's.
        """
        beside = self.incumbency.beside
        is_held_back = comparison.verdict == "tie" and comparison.interval[0] > 1
        if comparison.is_in_turns or not is_held_back or not beside.is_noise_doubtful:
            return comparison
        if comparison.interval[0] > 1 + LOUD_NOISE:
            return replace(comparison, noise_floor=LOUD_NOISE)
        if not self.incumbency.has_time_for_noise:
            return comparison
        try:
            self.incumbency.look_at_noise()
        except ContestantLostError:
            if self.incumbent.is_retired:
                raise
        return replace(comparison, noise_floor=beside.noise_floor or 0.0)

    def _why_hopeless(self, challenger: SharedContestant, way: Meeting, *, bar: Bar) -> str | None:
        """Why the challenger needs no comparison: what it changes does not take hold, or it is slower by far.

        Not one that was a winner, too: a moment of the machine's would make it slower by far.
        """
        for name in self._without_effect(challenger):
            return f"it does not take hold: {name} is {written(challenger.warmed.in_force[name])} here"
        if bar == "better of two winners":
            return None
        slower = min(1 / ratio for ratio in way.look(self.incumbent, challenger).ratios)
        return f"{slower:.1f} times slower at first sight" if slower >= SLOWER_BY_FAR else None

    def _without_effect(self, challenger: SharedContestant) -> list[str]:
        """What of it was set and does not take hold, as its start has shown."""
        in_force = challenger.warmed.in_force
        changes = self._changes(challenger.setting).items()
        return [name for name, value in changes if value is not None and in_force.get(name, value) != value]

    def _already_so(self, challenger: SharedContestant) -> list[str]:
        """What of it is set, and holds for the incumbent unasked."""
        in_force = self.incumbent.warmed.in_force
        changes = self._changes(challenger.setting).items()
        return [name for name, value in changes if value is not None and in_force.get(name) == value]

    def _lose(
        self,
        stage: Stage,
        setting: Mapping[str, Scalar],
        error: ContestantLostError,
        *,
        challenger: SharedContestant | None,
        began: float,
    ) -> None:
        """Record a challenger that is gone; an incumbent that was lost in its stead enters anew.

        Raises:
            ContestantLostError: Neither it nor the baseline can.
        """
        if challenger is not None:
            challenger.retire()
        if self.incumbent.is_retired:
            error = ContestantLostError(error.kind, f"the setting to beat was lost beside it: {error}")
        elif error.kind == "hung":
            self._hung.append({name: value for name, value in self._changes(setting).items() if value is not None})
        self.heats.lost(stage, setting, error, changes=self._changes(setting), began=began)
        self._restore(stage)

    def _has_hung(self, setting: Mapping[str, Scalar]) -> bool:
        return any(hung and hung.items() <= setting.items() for hung in self._hung)

    def _restore(self, stage: Stage) -> None:
        lost = dict(self.incumbent.setting)
        error = self.incumbency.restore()
        if error is not None:
            again = ContestantLostError(error.kind, f"the setting to beat can't be started again: {error}")
            self._record_lost_incumbent(stage, lost, again)

    def _record_lost_incumbent(self, stage: Stage, setting: Mapping[str, Scalar], error: ContestantLostError) -> None:
        changes = difference(self.incumbency.baseline.setting, setting)
        self.heats.lost(stage, setting, error, changes=changes, began=self._clock())

    def _changes(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return difference(self.incumbent.setting, setting)
