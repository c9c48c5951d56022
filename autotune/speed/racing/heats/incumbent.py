"""The setting to beat: the contestant that has it, and how others meet it, with what that takes."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from autotune.events import Scalar
from autotune.speed.measuring.arena import LONGEST_BLOCK, ContestantLostError
from autotune.speed.racing.heats.in_turns import InTurns
from autotune.speed.racing.heats.meeting import HeatTime, Meeting
from autotune.speed.racing.heats.records import Clock
from autotune.speed.racing.heats.shared_arena import NoRoomError, SharedArena, SharedContestant
from autotune.speed.racing.heats.side_by_side import SideBySide
from autotune.speed.racing.pace import Pace

_Answer = TypeVar("_Answer")


class Incumbency:
    """The incumbent of a race, from the baseline on.

    Args:
        arena: Where contestants are started.
        baseline: The first setting to beat.
        pace: How long heats measure.
        on_turns: Called once, when contestants of the incumbent's size turn out to have no room side by side.
        clock: Gives seconds of the race.

    Raises:
        ContestantLostError: The baseline can't be trained with.
    """

    def __init__(
        self,
        arena: SharedArena,
        *,
        baseline: Mapping[str, Scalar],
        pace: Pace,
        on_turns: Callable[[], None],
        clock: Clock,
    ) -> None:
        self.arena = arena
        self.beside = SideBySide(pace)
        self.in_turns = InTurns(arena, pace)
        self.baseline = arena.enter(dict(baseline))
        """The contestant with the baseline, known by its last blocks when it is gone."""
        self.holder: SharedContestant = self.baseline
        self._on_turns = on_turns
        self._has_told = False
        self.block_seconds = pace.block_seconds
        """Seconds that a block takes side by side, about, with what surrounds it."""
        self._pace = pace
        self._clock = clock

    @property
    def setting(self) -> dict[str, Scalar]:
        """The setting to beat."""
        return dict(self.holder.setting)

    @property
    def takes_turns(self) -> bool:
        """There is no room for a second contestant of the incumbent's size."""
        return not self.arena.has_room_for_two(self.holder)

    @property
    def has_taken_turns(self) -> bool:
        """There is no such room, or there was none for an incumbent before it, whose turns have taken their time."""
        return self._has_told or self.takes_turns

    @property
    def is_confirmed_in_turns(self) -> bool:
        """The incumbent meets the baseline in turns, which may take all that the device has by itself."""
        arena = self.arena
        return not (arena.has_room_for_two(self.baseline) and arena.has_room_for(self.baseline, self.holder))

    @property
    def is_floor_known(self) -> bool:
        """What two contestants of one setting differ by was measured."""
        return self.beside.noise_floor is not None or self.in_turns.noise_floor is not None

    def pass_to(self, successor: SharedContestant) -> None:
        """Give another contestant the setting to beat; the one that had it is retired."""
        self.holder.retire()
        self.holder = successor
        self.tell_of_turns()

    def restore(self) -> ContestantLostError | None:
        """Let an incumbent that was lost enter anew, or the baseline in its stead; then, why the incumbent could not.

        Raises:
            ContestantLostError: Neither can be trained with any more.
        """
        if not self.holder.is_retired:
            return None
        setting = dict(self.holder.setting)
        try:
            self.holder = self.arena.enter(setting)
        except ContestantLostError as error:
            if setting == self.baseline.setting:
                raise
            self.holder = self.arena.enter(dict(self.baseline.setting))
            return error
        return None

    def meet(
        self, other: SharedContestant, measure: Callable[[Meeting], _Answer], *, holder: SharedContestant | None = None
    ) -> _Answer:
        """Measure another contestant against the incumbent: side by side where the device has room, else in turns."""
        holder = holder or self.holder
        if self.arena.has_room_for_two(holder) and self.arena.are_side_by_side(holder, other):
            try:
                return measure(self.beside)
            except NoRoomError:
                pass
        self.tell_of_turns()
        return measure(self.in_turns)

    def tell_of_turns(self) -> None:
        """Tell once where the incumbent has no room for another one beside it."""
        if self.takes_turns and not self._has_told:
            self._has_told = True
            self._on_turns()

    def note_step(self, seconds: float) -> None:
        """Tell what a step of the incumbent takes: a block's length follows from it until the noise was measured."""
        self.in_turns.note_step(seconds)
        if not self.is_floor_known:
            steps = self._pace.min_steps
            self.block_seconds = max(self._pace.block_seconds, steps * seconds, self._round_seconds(seconds))

    def _round_seconds(self, step_seconds: float) -> float:
        """What a round of the incumbent's workers takes, which a block ends with; 0 where it ends without one."""
        num_workers = self.holder.warmed.in_force.get("num_workers")
        seconds = num_workers * step_seconds if isinstance(num_workers, int) else 0.0
        return min(seconds, LONGEST_BLOCK * self._pace.block_seconds)

    def find_noise_floor(self, time: HeatTime) -> None:
        """Measure the incumbent against a twin of it: what they differ by is noise.

        Where they take turns and the race has no time for that and a heat, nothing is measured.

        Raises:
            ContestantLostError: The incumbent's setting can't be started again.
        """
        self.forget_noise()
        self.look_at_noise(time)

    def forget_noise(self) -> None:
        """Forget what two contestants of an earlier setting differed by."""
        for way in (self.beside, self.in_turns):
            way.forget_noise()

    def look_at_noise(self, time: HeatTime) -> None:
        """Measure the incumbent against a twin of it once more, beside what is known of the noise already.

        Raises:
            ContestantLostError: The incumbent's setting can't be started again.
        """

        def measure(twin: SharedContestant) -> None:
            self.meet(twin, lambda way: self._find_noise_floor(way, twin, time=time))

        self._with_twin(measure)

    def find_noise_floor_in_turns(self) -> None:
        """Measure the noise in turns, for a challenger that has no room beside the incumbent; a twin may have some."""
        if self.in_turns.noise_floor is None:
            self._with_twin(lambda twin: self.in_turns.find_noise_floor(self.holder, twin))

    def seconds_in_turns(self, challenger: SharedContestant | None = None) -> float:
        """Seconds that a heat in turns takes at most, about, with the noise that is measured first."""
        noise = self.in_turns.seconds_to_find_noise_floor(self.holder)
        return noise + self.in_turns.seconds_to_screen(self.holder, challenger or self.holder)

    def has_time_for_noise(self, time: HeatTime) -> bool:
        """Whether the noise can be measured once more side by side, with as much left for what that is to judge."""
        return time.quads_left() >= 2 * self._pace.floor_quads

    def _find_noise_floor(self, way: Meeting, twin: SharedContestant, *, time: HeatTime) -> None:
        """Measure the noise in this way; in turns only where a heat that follows has time, too."""
        if way.is_in_turns and not time.may_take_turns(self.seconds_in_turns()):
            return
        began = self._clock()
        way.find_noise_floor(self.holder, twin)
        if not way.is_in_turns:
            self.block_seconds = (self._clock() - began) / (4 * self._pace.floor_quads)

    def _with_twin(self, measure: Callable[[SharedContestant], None]) -> None:
        """Let a second contestant with the setting to beat enter, measure with it, and retire it.

        Raises:
            ContestantLostError: It can't enter, or one of the two is lost.
        """
        try:
            twin = self.arena.enter(dict(self.holder.setting))
        except ContestantLostError as error:
            raise ContestantLostError(error.kind, f"a second one with the setting to beat: {error}") from error
        try:
            measure(twin)
        finally:
            twin.retire()
