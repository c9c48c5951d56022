"""A race's time: what is spent, and what is left before its confirmations must begin."""

import math
import statistics

from autotune.speed.measuring.bottleneck import NUM_BLOCKS
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.meeting import LEAST_QUADS
from autotune.speed.racing.heats.records import Clock, Heats
from autotune.speed.racing.plan import RacePlan

LAST_BLOCKS = 12
"""Blocks in which the winner is measured once more, for the figures of the result."""
_FOR_CONFIRMING = 0.15
"""Share of a race's time that is kept for the blocks of a confirmation; it has more of them where time is left."""
_LEAST_KEPT_QUADS = 6
"""Quads of a confirmation for which time is kept at the least: of fewer an interval of 95 % tells little."""
_LEAST_TO_CONFIRM = 0.75
"""Share of its usual quads that a confirmation has however late it is."""
_LATE = 1.25
"""Times its seconds that a race may take so that its last confirmation is not lost to an estimate a little off."""
_A_LITTLE_LATE = 1.1
"""Times its seconds that a race may take where a confirmation that had its usual quads needs more of them."""
_FEWEST_BLOCKS = 2 + 4 * (LEAST_QUADS + 3)
"""Fewest blocks of a heat and its winner's confirmation: two looks, the least quads of a screening, and three more that
may tell."""


class RaceTime:
    """The clock of one race, with what its end will take and what is kept for compiling.

    It reads from the incumbency and the heats what things take. These don't know it: who runs a heat is given it as a
    ``HeatTime``.

    Args:
        plan: Says how long the race may take.
        incumbency: Tells what a block, a start and a turn take.
        heats: Tell what heats took that are over.
        began: When the race began, by ``clock``.
        clock: Gives seconds of the race.
    """

    def __init__(self, plan: RacePlan, incumbency: Incumbency, heats: Heats, *, began: float, clock: Clock) -> None:
        self._plan = plan
        self._incumbency = incumbency
        self._arena = incumbency.arena
        self._heats = heats
        self._began = began
        self._clock = clock
        self._kept_for_compiling = 0.0
        self._compile_seconds = 0.0
        self._keeps_a_heat_for_stacking = False
        self._keeps_a_heat_for_a_runner_up = False
        self._has_given_up_a_guess = False
        self._is_cut_short = False
        self._seconds_for_more: float | None = None
        self._is_ending = False

    @property
    def spent(self) -> float:
        """Seconds since the race began."""
        return self._clock() - self._began

    @property
    def given(self) -> float:
        """Seconds that the race may take, longer where contestants take turns, or took them."""
        longer = self._plan.seconds_in_turns
        return longer if longer is not None and self._incumbency.has_taken_turns else self._plan.seconds

    @property
    def is_cut_short(self) -> bool:
        """Something was not tried for want of time."""
        return self._is_cut_short

    @property
    def seconds_for_more(self) -> float | None:
        """What the race would have needed for one more heat; None unless contestants took turns and lacked the time."""
        return self._seconds_for_more

    @property
    def compile_seconds(self) -> float:
        """What the longest heat took that compiled a step; 0 before the first."""
        return self._compile_seconds

    def left(self) -> float:
        """Seconds before the race must come to its end: its confirmations, and a last look at the winner."""
        return self.given - self.spent - self._end_seconds

    def for_a_start(self) -> float:
        """Seconds that the next start may take, so that what was found by then is confirmed before the race is ended.

        A winner starts as slowly once more to be confirmed. What starts as usual is never cut short by this.
        """
        if self._plan.overrun is None:
            return math.inf
        left = self._plan.overrun * self.given - self.spent
        least = 2 * self._arena.usual_start_seconds
        if not self._is_ending:
            return max(least, left / 2 - self._confirmation_seconds(1))
        return max(least, left - 4 * self._least_quads_to_confirm * self._incumbency.block_seconds)

    def until_ended(self) -> float:
        """Seconds that something else may take, so that what was found is confirmed before the race is ended.

        Infinite where nobody ends it.
        """
        if self._plan.overrun is None:
            return math.inf
        return self._plan.overrun * self.given - self.spent - self._confirmation_seconds(1)

    @property
    def may_still_win(self) -> bool:
        """Whether a heat and the confirmation of its winner, both at their shortest, end before the race is ended.

        True where nobody ends it, and where contestants take turns: each heat is held against the time there.
        """
        if self._plan.overrun is None or self._incumbency.takes_turns:
            return True
        seconds = 3 * self._arena.usual_start_seconds + _FEWEST_BLOCKS * self._incumbency.block_seconds
        return self.spent + seconds <= self._plan.overrun * self.given

    def keep_for_compiling(self, seconds: float) -> None:
        """Keep so much of the race for heats that compile a step; 0 when these begin."""
        self._kept_for_compiling = seconds

    def keep_for_winners(self, *, has_runners_up: bool) -> None:
        """Keep a heat of the winners together, and one for a runner-up, which has yet to meet its knob's winner."""
        self._keeps_a_heat_for_stacking = True
        self._keeps_a_heat_for_a_runner_up = has_runners_up

    def keep_no_heats(self) -> None:
        """Keep none, since nothing has won yet."""
        self._keeps_a_heat_for_stacking = self._keeps_a_heat_for_a_runner_up = False

    def note_compiling(self, seconds: float) -> None:
        """Record what a heat took that compiled a step."""
        self._compile_seconds = max(self._compile_seconds, seconds)

    def note_cut_short(self) -> None:
        """Record that something was not tried for want of time."""
        self._is_cut_short = True

    def begin_ending(self) -> None:
        """From now on what was found is confirmed, and a start may take all that is left for it."""
        self._is_ending = True

    def may_begin_heat(self) -> bool:
        """Whether another heat ends in time. A no is recorded: the race counts as cut short."""
        return not self._is_too_late(self._kept_seconds + self._heat_seconds)

    def may_take_turns(self, seconds: float) -> bool:
        """Whether a heat in turns that takes so long ends in time. A no is recorded: the race counts as cut short."""
        is_in_time = seconds <= self.left()
        self._is_cut_short = self._is_cut_short or not is_in_time
        return is_in_time

    def quads_left(self) -> float:
        """For how many quads side by side a heat has time, less what is kept for other heats."""
        return (self.left() - self._kept_seconds) / (4 * self._incumbency.block_seconds)

    @property
    def _kept_seconds(self) -> float:
        """Seconds that are kept for what follows the next heat, before the end."""
        num_heats = self._keeps_a_heat_for_stacking + self._keeps_a_heat_for_a_runner_up
        # The best of winners is started anew before the others meet it.
        starts = self._arena.usual_start_seconds if self._keeps_a_heat_for_stacking else 0.0
        return self._kept_for_compiling + num_heats * self._heat_seconds + starts

    @property
    def has_room_for_a_heat(self) -> bool:
        """Whether a heat ends in time that begins with a look at the bottleneck."""
        return self.left() > NUM_BLOCKS * self._incumbency.block_seconds + self._heat_seconds

    @property
    def has_room_for_noise_and_a_heat(self) -> bool:
        """Whether a heat ends in time that begins with a twin of the setting to beat, and a look at its bottleneck.

        Contestants that take turns hold the noise against the time by themselves.
        """
        if self._incumbency.takes_turns:
            return True
        looks, quads = NUM_BLOCKS, self._plan.pace.floor_quads
        twin = self._arena.usual_start_seconds + 4 * quads * self._incumbency.block_seconds
        return self.left() > twin + looks * self._incumbency.block_seconds + self._heat_seconds

    def take_for_stacking(self) -> bool:
        """Whether a heat of winners together ends in time, where the best of them has been started anew.

        It takes what was kept to meet a guess if it must: what was won already is worth more than that. A no is
        recorded: the race counts as cut short.
        """
        self._keeps_a_heat_for_stacking = False
        needed = self._kept_for_compiling + self._heat_seconds
        if self._keeps_time_to_meet_a_guess and self.left() <= needed:
            self._has_given_up_a_guess = self.left() + self._confirmation_seconds(1) > needed
        return not self._is_too_late(needed)

    @property
    def has_room_for_a_last_look(self) -> bool:
        """Whether the winner's figures can be measured anew, and the race end in time or a little late."""
        return self.spent + LAST_BLOCKS * self._incumbency.block_seconds <= self.given * _A_LITTLE_LATE

    @property
    def has_room_to_confirm(self) -> bool:
        """Whether one more confirmation ends in time, or late by little more than an estimate may be off."""
        return self._ends_by(self.given * _LATE)

    @property
    def has_room_for_a_pair(self) -> bool:
        """Whether what was confirmed can be confirmed again; that ends a little late at most."""
        return self._ends_by(self.given * _A_LITTLE_LATE)

    @property
    def has_room_to_meet_a_guess(self) -> bool:
        """Whether the winner can meet the informed setting; in time, where what was kept for that was taken."""
        latest = self.given * (1.0 if self._has_given_up_a_guess else _LATE)
        return self._ends_by(latest - self._search_seconds)

    @property
    def is_over(self) -> bool:
        """Another quad would end too late."""
        return self.spent + 4 * self._incumbency.block_seconds > self.given

    def quads_to_confirm(self) -> int:
        """For how many quads a confirmation has time once its contestants have entered, if it takes so many to tell.

        What wins without being proven is lost: so where nothing is told by then it may end a little late, and later
        where it would have fewer quads than time was kept for.
        """
        in_time, late = self._quads_by(self.given * _A_LITTLE_LATE), self._quads_by(self.given * _LATE)
        return max(in_time, min(self._kept_quads, late), self._least_quads_to_confirm)

    @property
    def latest_confirmed(self) -> float:
        """Seconds of the race, after which a confirmation that begins now is over, whatever its blocks take.

        It may end late by what the least of its quads take as blocks were so far; the machine may have become slow.
        """
        least = 4 * self._least_quads_to_confirm * self._incumbency.block_seconds
        return max(self.given * _LATE, self.spent + least)

    def quads_to_confirm_in_turns(self, quad_seconds: float, *, first_start: float) -> int:
        """For how many quads in turns a confirmation has time after its first start; it may end a little late.

        Who meets the winner may have no room beside it though the race took no turns before, and had no time for them.
        """
        return int((self.given * _LATE - self.spent - first_start) / quad_seconds)

    @property
    def usual_quads_to_confirm(self) -> int:
        """After how many quads a confirmation that tells ends: as many as are kept where a guess is still to be met."""
        return self._kept_quads if self._keeps_time_to_meet_a_guess else self._plan.pace.confirm_quads

    def _quads_by(self, seconds: float) -> int:
        """For how many quads there is time until so many seconds of the race are spent."""
        # One of the two is stopped after them, which a start is more than enough for.
        left = seconds - self.spent - self._arena.usual_start_seconds
        return int(left / (4 * self._incumbency.block_seconds))

    def _is_too_late(self, needed: float) -> bool:
        """Whether what needs so many seconds would end too late, which is recorded."""
        is_up = self.left() <= needed
        self._is_cut_short = self._is_cut_short or is_up
        if is_up and self._incumbency.takes_turns:
            self._seconds_for_more = self.spent + needed + self._end_seconds
        return is_up

    def _ends_by(self, seconds: float) -> bool:
        """Whether one more confirmation ends before so many seconds of the race are spent."""
        return self.spent + self._confirmation_seconds(1) <= seconds

    @property
    def _end_seconds(self) -> float:
        """Seconds that the race's confirmations will take."""
        return self._seconds_with_a_guess if self._keeps_time_to_meet_a_guess else self._confirmation_seconds(1)

    @property
    def _seconds_with_a_guess(self) -> float:
        """Seconds that the confirmations take, against the baseline and against the informed setting."""
        return self._confirmation_seconds(2) + self._search_seconds

    @property
    def _keeps_time_to_meet_a_guess(self) -> bool:
        """Whether time is kept to meet the informed setting: two confirmations take half of the race at most."""
        has_time = self._seconds_with_a_guess <= self.given / 2
        return self._plan.informed is not None and has_time and not self._has_given_up_a_guess

    @property
    def _search_seconds(self) -> float:
        """Seconds by which the informed setting starts later than usual where it searches, as heats have shown."""
        informed, entries = self._plan.informed or {}, self._plan.entries
        searching = {
            entry.name: informed[entry.name]
            for entry in entries
            if entry.knob.searches_at_start and informed.get(entry.name, entry.knob.simplest) != entry.knob.simplest
        }
        shown = self._arena.least_start_with(searching) if searching else None
        return 0.0 if shown is None else max(0.0, shown - self._arena.usual_start_seconds)

    @property
    def _kept_quads(self) -> int:
        """For how many quads of a confirmation time is kept: fewer where the usual ones would take much of the race.

        Else a race of 12 s would try nothing, and have time left for what it did not find.
        """
        num_quads = int(_FOR_CONFIRMING * self.given / (4 * self._incumbency.block_seconds))
        return min(self._plan.pace.confirm_quads, max(_LEAST_KEPT_QUADS, num_quads))

    @property
    def _least_quads_to_confirm(self) -> int:
        """For how many quads a confirmation has time, however late it is."""
        return min(self._kept_quads, math.ceil(_LEAST_TO_CONFIRM * self._plan.pace.confirm_quads))

    def _confirmation_seconds(self, count: int) -> float:
        """Seconds that so many confirmations will take, about."""
        if self._incumbency.is_confirmed_in_turns:
            return count * self._incumbency.in_turns.seconds_to_confirm(self._incumbency.holder.start_seconds)
        blocks = 4 * self._kept_quads * self._incumbency.block_seconds
        usual = self._arena.usual_start_seconds
        winner = max(usual, self._arena.seconds_to_start_again(self._incumbency.holder.setting))
        return count * (blocks + usual + winner)

    @property
    def _heat_seconds(self) -> float:
        """Seconds that the next heat needs: what those took in the mean that came to an end; 0 before the first.

        It needs no more than its start and the least quads that it has: it takes as many as there is time for. Where
        contestants take turns, this is what it takes at most, with the noise that is to be measured first.
        """
        if self._incumbency.takes_turns:
            return self._incumbency.seconds_in_turns()
        ended = [heat for heat in self._heats.all if heat.gain is not None and heat.stage in {"screen", "stack"}]
        took = [heat.seconds for heat in ended if not heat.is_in_turns]
        short = self._arena.usual_start_seconds + 4 * LEAST_QUADS * self._incumbency.block_seconds
        return min(statistics.fmean(took), short) if took else 0.0
