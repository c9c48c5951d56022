"""The race: which speed knobs make this training faster on this machine, measured in seconds.

One incumbent, the setting to beat, stays alive; challengers enter one after the other, train alternating blocks against
it and retire. The order of a race:

1. find the baseline's bottleneck; look at what can move everything (threads, allocators), and adopt at once what is
   faster by far, whose bottleneck is another one;
2. try as a whole what won elsewhere, compiled only then, or what the guides name for a GPU, as one graph where a step
   mostly waits for launches (``launching.py``), beside which nothing else would show; of such a guess leave out what it
   is no slower without, and last what moves something that is still waited for;
3. find by a twin of the incumbent the noise below which settings tie; screen each knob that can move the bottleneck,
   one value at a time, cheap ones first, and once more what seemed faster and was not surely so;
4. stack the winners, for which a heat's time is kept from the first one on, find the bottleneck again, and screen what
   interacts with them or means something only now;
5. try ``torch.compile`` where the steps that remain can repay it; a compiled step may wait for something else, so
   that what moves that is screened once more;
6. leave out what won in a noisy moment and slows the setting to beat now, and what that is no slower without; look once
   more, where time is left, at what was given up after few quads, then at what interacts with what that brings;
7. confirm the winner against the baseline, and against what an informed user would set, on fresh contestants; where
   that guess is surely faster, and as precise, it is the winner.

A tie changes nothing, and what starts slowly is kept only where a run repays it. A setting that can't be trained with
is recorded and passed over. A faster one with fewer digits is kept only while its loss stays within full precision's
own noise.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from autotune.events import Scalar
from autotune.speed.knobs.entries import difference
from autotune.speed.measuring.arena import Arena, ContestantLostError
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.measuring.measurement import measured
from autotune.speed.racing.heats.confirming import Confirming
from autotune.speed.racing.heats.finish import Finish
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.records import Clock, Heats
from autotune.speed.racing.heats.shared_arena import SharedArena, SharedContestant
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan, RaceWatch
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.result import RaceResult
from autotune.speed.racing.stages.compiling import COMPILE, Compiling
from autotune.speed.racing.stages.costs import Costs
from autotune.speed.racing.stages.diagnosing import Diagnosing
from autotune.speed.racing.stages.ending import Ending, Proven
from autotune.speed.racing.stages.first_sight import FirstSight
from autotune.speed.racing.stages.launching import CUDA_GRAPH, Launching, is_fast_as_a_whole
from autotune.speed.racing.stages.opening import Opening
from autotune.speed.racing.stages.precision import LossJudge
from autotune.speed.racing.stages.screening import Screening
from autotune.speed.racing.stages.simplifying import Simplifying
from autotune.speed.racing.stages.stacking import Stacking
from autotune.speed.racing.summing_up import Search, sum_up

_ROUNDS = 6
"""Most rounds of screening and stacking: each winner may make others of what lost before it."""


def race(arena: Arena, plan: RacePlan, *, watch: RaceWatch | None = None, clock: Clock = time.monotonic) -> RaceResult:
    """Find the fastest setting of one workload.

    Args:
        arena: Starts the contestants: processes of a task, or callables of one's own (``LocalArena``).
        plan: What to try, and how long.
        watch: Hears how the race goes.
        clock: Gives seconds for the race's own time; a simulation has its own.

    Raises:
        ContestantLostError: The baseline itself can't be trained with.
    """
    watch = watch or RaceWatch()
    began = clock()
    shared = SharedArena(arena, memory_bytes=plan.memory_bytes, clock=clock)
    plan = replace(plan, pace=plan.pace.within(plan.seconds))
    incumbency = Incumbency(shared, baseline=plan.baseline, pace=plan.pace, on_turns=watch.takes_turns, clock=clock)
    heats = Heats(watch.heat_over, clock=clock)
    race_time = RaceTime(plan, incumbency, heats, began=began, clock=clock)
    shared.limit_starts(race_time.for_a_start)
    track = Track(incumbency, heats=heats, time=race_time, on_begin=watch.heat_begun, clock=clock)
    confirming = Confirming(incumbency, heats=heats, time=race_time, on_begin=watch.heat_begun, clock=clock)
    try:
        return _Race(track, plan, watch, confirming=confirming, time=race_time).run()
    finally:
        track.close()


class _Race:
    """One race: its stages, in the order that the module's docstring has."""

    def __init__(
        self, track: Track, plan: RacePlan, watch: RaceWatch, *, confirming: Confirming, time: RaceTime
    ) -> None:
        self._track = track
        self._plan = plan
        self._time = time
        self._diagnosing = Diagnosing(track, plan, on_diagnosis=watch.diagnosed, time=time)
        self._judge = LossJudge(track.arena, plan, time=time)
        self._costs = Costs(plan)
        self._first_sight = FirstSight(track, plan, judge=self._judge, time=time)
        self._screening = Screening(track, plan, judge=self._judge, costs=self._costs, time=time)
        self._stacking = Stacking(track, plan, judge=self._judge, time=time)
        self._compiling = Compiling(plan, costs=self._costs)
        self._launching = Launching(plan, compiling=self._compiling)
        self._opening = Opening(
            track, plan, judge=self._judge, launching=self._launching, compiling=self._compiling, time=time
        )
        self._simplifying = Simplifying(track, plan, judge=self._judge, time=time)
        self._ending = Ending(
            track, plan, confirming=confirming, judge=self._judge, first_sight=self._first_sight, time=time
        )
        self._doubtful: list[set[str]] = []
        """The knobs of each winner that a moment of the machine's may have made."""
        self._ended_by: str | None = None

    def run(self) -> RaceResult:
        """Search, prove the winner and sum up; a setting to beat that is lost ends the search alone."""
        try:
            try:
                self._track.incumbency.tell_of_turns()
                self._search()
            except ContestantLostError as error:
                if not self._diagnosing.has_begun:
                    raise
                self._track.rescue(error)
                self._ended_by = str(error)
            proven = self._ending.prove()
            return self._sum_up(self._track.incumbent, proven)
        except ContestantLostError as error:
            return self._known(error)

    def _search(self) -> None:
        """Look for what is faster, from the first diagnosis to the last look."""
        self._diagnosing.look()
        before = self._track.setting
        self._screening.note_tried(self._first_sight.adopt())
        if self._track.setting != before:
            self._look_anew()
        self._time.keep_for_compiling(self._compiling.reserve(self._track.incumbent))
        self._open()
        self._screen_and_stack()
        if self._compile():
            self._screen_and_stack()
        self._leave_out()
        self._look_twice()

    def _open(self) -> None:
        """Try what may be far better as a whole, do away with launches, and leave out groups of what a guess set."""
        before = self._track.setting
        doubted = self._opening.open(self._diagnosis)
        self._simplifying.doubt(doubted)
        if self._compiling.has_begun:
            self._time.keep_for_compiling(0.0)
        if is_fast_as_a_whole(self._track.setting, entries=self._plan.entries):
            self._enter_other_world({COMPILE, CUDA_GRAPH})
        if self._track.setting != before:
            self._look_anew()
        self._do_away_with_launches()
        guessed = self._track.setting
        awaited = self._diagnosis.worth_moving if self._diagnosis is not None else ()
        self._simplifying.leave_out_groups(except_for=awaited)
        stays = self._simplifying.doubted
        self._screening.leave_to_others({name: guessed[name] for name in doubted - stays})
        self._screening.leave_to_others({name: self._plan.baseline.get(name) for name in stays})

    def _do_away_with_launches(self) -> None:
        """Record or compile the step where it mostly waits for launches, and no guess has done so."""
        before = self._track.setting
        for way in self._launching.ways(before, self._diagnosis, incumbent=self._track.incumbent):
            if CUDA_GRAPH not in way:
                self._compile(only=way[COMPILE])
            elif self._time.may_begin_heat() and self._record(way):
                self._enter_other_world({CUDA_GRAPH})
                self._look_anew()
            if self._track.setting != before:
                return

    def _record(self, way: Mapping[str, Scalar]) -> bool:
        """Adopt a step that is recorded as a whole, if it is faster and what it brings along learns as well."""
        objection = self._judge.objection_to(way)
        finish = self._track.heat("screen", way, objection=objection, may_adopt=True)
        return finish is not None and finish.is_kept

    @property
    def _diagnosis(self) -> Diagnosis | None:
        """What the setting to beat waits for; None where nobody knows."""
        return self._diagnosing.newest

    def _screen_and_stack(self) -> None:
        """Screen, and put the winners together, until nothing wins any more."""
        for _ in range(_ROUNDS):
            winners = self._find_winners()
            if not winners:
                break
            self._put_together(winners)

    def _put_together(self, winners: Sequence[Finish]) -> None:
        """Stack these winners, and let what depends on them be tried again."""
        before = self._track.setting
        self._doubtful += [set(difference(before, each.setting)) for each in winners if each.may_be_a_moments]
        adopted = self._stacking.stack(winners)
        if winners[-1].is_by_far:
            self._enter_other_world(adopted)
        self._screening.forget_what_interacts(adopted)
        self._look_anew()

    def _find_winners(self) -> list[Finish]:
        """What won the first of three screenings in which anything did."""
        screening, diagnosis = self._screening, self._diagnosis
        return screening.meet_runners_up(diagnosis) or screening.screen(diagnosis) or screening.look_again(diagnosis)

    def _leave_out(self) -> None:
        """Leave out what slows the setting to beat, and what did not win by itself and does nothing for it."""
        self._simplifying.leave_out_what_slows(self._doubtful)
        self._simplifying.leave_out_groups()
        unproven = self._screening.brought_along | self._stacking.no_faster
        self._simplifying.leave_out_each(self._simplifying.doubted | unproven)

    def _look_twice(self) -> None:
        """Look, with the time that is left, at what was given up early, and at what that may have been hiding."""
        before = self._screening.brought_along
        while winners := self._screening.look_twice(self._diagnosis):
            self._put_together(winners)
            self._screen_and_stack()
        self._simplifying.leave_out_each(self._screening.brought_along - before)

    def _compile(self, *, only: Scalar | None = None) -> bool:
        """Try to compile with the time that was kept for it; whether it was adopted, and there is time to go on."""
        self._time.keep_for_compiling(0.0)
        before = self._track.setting
        bottleneck = self._diagnosis.kind if self._diagnosis is not None else None
        if not self._compiling.try_modes(self._track, bottleneck=bottleneck, time=self._time, only=only):
            self._time.note_cut_short()
        if self._track.setting == before or not self._time.may_begin_heat():
            return False
        self._enter_other_world({COMPILE})
        self._look_anew()
        return True

    def _enter_other_world(self, adopted: set[str]) -> None:
        """Forget what lost against an incumbent that waited for something else, and measure the noise anew.

        Where no heat can follow that needs it, a twin is not worth its start: a confirmation takes an unknown noise to
        be a loud one.
        """
        self._screening.forget_all_but(adopted)
        if self._time.has_room_for_noise_and_a_heat:
            self._track.find_noise_floor()
        else:
            self._time.note_cut_short()
            self._track.incumbency.forget_noise()

    def _look_anew(self) -> None:
        """Find the bottleneck of another setting to beat, where a heat can follow that needs it."""
        if self._time.has_room_for_a_heat:
            self._diagnosing.look()

    def _known(self, error: ContestantLostError) -> RaceResult:
        """The result where no setting to beat can be started again: the baseline, as it was measured last.

        Raises:
            ContestantLostError: The baseline was never measured.
        """
        baseline = self._track.incumbency.baseline
        if not self._diagnosing.has_begun or not baseline.last_blocks:
            raise error
        self._ended_by = str(error)
        figures = measured(tuple(baseline.last_blocks), baseline.warmed)
        informed = dict(self._plan.informed) if self._plan.informed is not None else None
        return self._sum_up(
            baseline, Proven(figures, gain=None, informed=informed, informed_gain=None, guess_refusal=None)
        )

    def _sum_up(self, winner: SharedContestant, proven: Proven) -> RaceResult:
        search = Search(
            diagnoses=self._diagnosing.all,
            break_evens=tuple(self._costs.break_evens),
            is_run_too_short_to_compile=self._compiling.is_run_too_short,
            ended_by=self._ended_by,
        )
        return sum_up(self._track, self._plan, time=self._time, search=search, winner=winner, proven=proven)
