"""One incumbent and the challengers that it meets: each heat is measured, recorded, and never lost."""

from collections.abc import Callable, Mapping

from autotune.events import UNREAD, Scalar
from autotune.speed.knobs.entries import difference
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.racing.heats.challenge import Challenge, Terms
from autotune.speed.racing.heats.enough import FASTER_BY_FAR, Bar
from autotune.speed.racing.heats.finish import Finish, Objection
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.meeting import HeatTime, Looks, Meeting
from autotune.speed.racing.heats.records import Clock, Heats, idle_words
from autotune.speed.racing.heats.shared_arena import SharedContestant
from autotune.speed.racing.result import HeatStage


class Track:
    """Where heats are run against the incumbent, which stays alive from one to the next where it has room.

    Args:
        incumbency: Has the setting to beat.
        heats: Where heats are recorded.
        time: The time that the race has for its heats.
        on_begin: Hears of each heat before it is run: its stage, and what is changed.
        clock: Gives seconds of the race.
    """

    def __init__(
        self,
        incumbency: Incumbency,
        *,
        heats: Heats,
        time: HeatTime,
        on_begin: Callable[[HeatStage, Mapping[str, Scalar]], None],
        clock: Clock,
    ) -> None:
        self.arena = incumbency.arena
        self.incumbency = incumbency
        self.heats = heats
        self._time = time
        self._on_begin = on_begin
        self._clock = clock
        self._hung: list[dict[str, Scalar]] = []
        """Changes of challengers that hung. Settings that hold them are not tried again: each may cost as long."""
        self._unread: set[str] = set()
        """Knobs that a challenger changed, and that its training never read: another value of them would come to
        nothing, too."""

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
        return self.incumbency.setting

    @property
    def is_floor_known(self) -> bool:
        """What two contestants of one setting differ by was measured."""
        return self.incumbency.is_floor_known

    def find_noise_floor(self) -> None:
        """Measure the incumbent against a twin of it; once more where one of the two is lost.

        Raises:
            ContestantLostError: The incumbent's setting can't be started again.
        """
        try:
            self.incumbency.find_noise_floor(self._time)
        except ContestantLostError as error:
            self.rescue(error)
            self.incumbency.find_noise_floor(self._time)

    def heat(
        self,
        stage: HeatStage,
        setting: Mapping[str, Scalar],
        *,
        objection: Objection | None = None,
        may_adopt: bool = False,
        bar: Bar = "faster",
    ) -> Finish | None:
        """Measure a setting against the incumbent; None where it can't be trained with, which is recorded.

        What hung once is not tried again, beside whatever else, and recorded no second time. What the task never reads
        is recorded once, and nothing is started for it; of a guess as a whole, the rest is tried.

        Args:
            stage: The part of the race.
            setting: The challenger's.
            objection: Asked about a challenger that is faster: why it is not kept nevertheless.
            may_adopt: A challenger that is kept becomes the incumbent.
            bar: What the challenger is held to.
        """
        if self._has_hung(setting) or (stage != "start" and self._is_unread(stage, setting)):
            return None
        began, changes = self._clock(), self._changes(setting)
        self._on_begin(stage, changes)
        challenger: SharedContestant | None = None
        finish: Finish | None = None
        try:
            challenger = self.arena.enter(dict(setting))
            # What else it did not read, others may read: beside a cache nobody asks for the number of workers.
            self._unread |= _unread_by(challenger) & changes.keys()
            challenge = Challenge(
                self.incumbency,
                challenger,
                terms=Terms(stage, bar=bar, objection=objection),
                heats=self.heats,
                time=self._time,
                began=began,
            )
            finish = self.incumbency.meet(challenger, challenge.run)
        except ContestantLostError as error:
            self._lose(stage, setting, error, challenger=challenger, began=began)
        finally:
            if challenger is not None and (finish is None or not finish.is_kept):
                challenger.retire()
        if finish is not None and finish.is_kept:
            if may_adopt:
                self.incumbency.pass_to(finish.challenger)
            else:
                finish.challenger.put_away()
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

    def reinstate_baseline(self) -> None:
        """Make the baseline the setting to beat; nothing more is measured of it than its last blocks."""
        self.incumbency.pass_to(self.incumbency.baseline)

    def skip(self, stage: HeatStage, setting: Mapping[str, Scalar], *, reason: str) -> None:
        """Record that a setting was passed over, and why."""
        self.heats.skipped(stage, setting, changes=self._changes(setting), reason=reason)

    def lose(self, stage: HeatStage, setting: Mapping[str, Scalar], error: ContestantLostError) -> None:
        """Record that a setting can't be trained with after all."""
        self.heats.lost(stage, setting, error, changes=self._changes(setting), began=self._clock())

    def rescue(self, error: ContestantLostError, *, stage: HeatStage = "screen") -> None:
        """Record that the incumbent was lost, and let it enter anew, or the baseline in its stead.

        Raises:
            ContestantLostError: Neither can be trained with any more.
        """
        lost = dict(self.incumbent.setting)
        self._record_lost_incumbent(
            stage, lost, ContestantLostError(error.kind, f"the setting to beat was lost: {error}")
        )
        self.restore(stage=stage)

    def restore(self, *, stage: HeatStage = "screen") -> None:
        """Let an incumbent that is gone enter anew; where it can't, which is recorded, the baseline in its stead.

        Raises:
            ContestantLostError: Neither can be trained with.
        """
        lost = dict(self.incumbent.setting)
        error = self.incumbency.restore()
        if error is not None:
            again = ContestantLostError(error.kind, f"the setting to beat can't be started again: {error}")
            self._record_lost_incumbent(stage, lost, again)

    def _lose(
        self,
        stage: HeatStage,
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
        self.restore(stage=stage)

    def _has_hung(self, setting: Mapping[str, Scalar]) -> bool:
        """Whether the setting holds changes with which a challenger hung."""
        return any(hung and hung.items() <= setting.items() for hung in self._hung)

    def _is_unread(self, stage: HeatStage, setting: Mapping[str, Scalar]) -> bool:
        """Whether the setting changes a knob that the task never reads, which is recorded once."""
        unread = self._unread | _unread_by(self.incumbent)
        names = [name for name, value in self._changes(setting).items() if value is not None and name in unread]
        if not names:
            return False
        reason = idle_words(names[0], UNREAD)
        if all(heat.reason != reason for heat in self.heats.all):
            self.skip(stage, setting, reason=reason)
        return True

    def _record_lost_incumbent(
        self, stage: HeatStage, setting: Mapping[str, Scalar], error: ContestantLostError
    ) -> None:
        changes = difference(self.incumbency.baseline.setting, setting)
        self.heats.lost(stage, setting, error, changes=changes, began=self._clock())

    def _changes(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        return difference(self.incumbent.setting, setting)


def _unread_by(contestant: SharedContestant) -> set[str]:
    """The knobs that the contestant was given, and did not read."""
    return {name for name, value in contestant.warmed.in_force.items() if value == UNREAD}
