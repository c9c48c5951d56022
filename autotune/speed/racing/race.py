"""The race: which speed knobs make this training faster on this machine, measured in seconds.

One incumbent, the setting to beat, stays alive; challengers enter one after the other, train
alternating blocks against it and retire. The order of a race:

1. find the baseline's bottleneck; look at what can move everything (threads, allocators), and adopt at once what is
   faster by far, whose bottleneck is another one;
2. try as a whole what won elsewhere, or what the guides name for a GPU, as one
   graph where a step mostly waits for launches (``launching.py``), beside which nothing else would show; of such a
   guess leave out what it is no slower without, and last what moves something that is still waited for;
3. find by a twin of the incumbent the noise below which settings tie; screen each knob that can move the
   bottleneck, one value at a time, cheap ones first, and once more what seemed faster and was not surely so;
4. stack the winners, for which a heat's time is kept from the first one on, find the bottleneck again,
   and screen what interacts with them or means something only now;
5. try ``torch.compile`` where the steps that remain can repay it; a compiled step may wait for something else, so
   that what moves that is screened once more;
6. leave out what is no slower without, and look once more, where time is left, at what was given up after few quads,
   then at what interacts with what that brings;
7. confirm the winner against the baseline, and against what an informed user would set, on fresh
   contestants; where that guess is surely faster, and as precise, it is the winner.

A tie changes nothing, and what starts slowly is kept only where a run repays it. A setting that can't be
trained with is recorded and passed over. A faster one with fewer digits is kept only while its loss stays
within full precision's own noise.
"""

import time
from collections.abc import Mapping, Sequence
from functools import partial

from autotune.events import Scalar, Warmed
from autotune.speed.measuring.arena import Arena, ContestantLostError
from autotune.speed.measuring.bottleneck import Diagnosis, HalfBatchError, diagnose
from autotune.speed.measuring.measurement import Measurement, measured
from autotune.speed.racing.heats.finish import Finish
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.heats.records import Clock, Heats
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.heats.turns import SharedArena, SharedContestant
from autotune.speed.racing.plan import RacePlan, RaceWatch
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.result import EpochStarts, RaceResult, Split, Surroundings
from autotune.speed.racing.stages.compiling import COMPILE, Compiling
from autotune.speed.racing.stages.costs import Costs
from autotune.speed.racing.stages.ending import Ending, Outcome
from autotune.speed.racing.stages.launching import CUDA_GRAPH, Launching, is_fast_as_a_whole
from autotune.speed.racing.stages.opening import Opening
from autotune.speed.racing.stages.precision import LossJudge, shortened
from autotune.speed.racing.stages.screening import Screening
from autotune.speed.racing.stages.simplifying import Simplifying
from autotune.speed.racing.stages.stacking import Stacking

_ROUNDS = 6
_LEAST_START_SECONDS = 0.01
"""Of an epoch, that is worth a word where it is in no figure."""


def race(arena: Arena, plan: RacePlan, *, watch: RaceWatch | None = None, clock: Clock = time.monotonic) -> RaceResult:
    """Find the fastest setting of one workload.

    Args:
        arena: Starts the contestants: processes of a task, or callables of one's own (``LocalArena``).
        plan: What to try, and how long.
        watch: Hears of each step.
        clock: Seconds, for the race's own time; a simulation has its own.

    Raises:
        ContestantLostError: The baseline itself can't be trained with.
    """
    watch = watch or RaceWatch()
    began = clock()
    shared = SharedArena(arena, memory_bytes=plan.memory_bytes, clock=clock)
    pace = plan.pace.within(plan.seconds)
    incumbency = Incumbency(shared, baseline=plan.baseline, pace=pace, on_turns=watch.takes_turns, clock=clock)
    heats = Heats(watch.heat_over, clock=clock)
    race_time = RaceTime(plan, incumbency, heats, began=began, clock=clock)
    shared.limit_starts(race_time.for_a_start)
    track = Track(incumbency, heats=heats, time=race_time, on_begin=watch.heat_begun, clock=clock)
    try:
        return _Race(track, plan, watch, time=race_time).run()
    finally:
        track.close()


class _Race:
    def __init__(self, track: Track, plan: RacePlan, watch: RaceWatch, *, time: RaceTime) -> None:
        self._track = track
        self._plan = plan
        self._watch = watch
        self._time = time
        self._judge = LossJudge(track.arena, plan, time=time)
        self._costs = Costs(plan)
        self._screening = Screening(track, plan, judge=self._judge, costs=self._costs, time=time)
        self._stacking = Stacking(track, plan, judge=self._judge, time=time)
        self._compiling = Compiling(plan, costs=self._costs)
        self._launching = Launching(plan, compiling=self._compiling)
        self._opening = Opening(
            track, plan, judge=self._judge, launching=self._launching, compiling=self._compiling, time=time
        )
        self._simplifying = Simplifying(track, plan, time=time)
        self._ending = Ending(track, plan, screening=self._screening, time=time)
        self._diagnoses: list[Diagnosis] = []
        self._ended_by: str | None = None
        self._can_be_halved = True
        """No step of half a batch has lost a contestant."""

    def run(self) -> RaceResult:
        """The result; where the setting to beat is lost, of what was found until then."""
        try:
            try:
                self._track.incumbency.tell_of_turns()
                self._search()
            except ContestantLostError as error:
                self._rescue(error)
                self._ended_by = str(error)
            outcome = self._ending.prove()
            winner = self._track.incumbent
            return self._result(winner, outcome.last, outcome=outcome)
        except ContestantLostError as error:
            return self._known(error)

    def _search(self) -> None:
        self._diagnose()
        before = self._track.setting
        self._screening.adopt_at_first_sight()
        if self._track.setting != before:
            self._diagnose()
        self._time.keep_for_compiling(self._compiling.reserve(self._track.incumbent))
        doubted = self._open()
        self._screen_and_stack()
        if self._compile():
            self._screen_and_stack()
        doubted = self._simplifying.leave_out_groups(doubted)
        self._simplifying.leave_out_each(doubted | self._screening.doubted | self._stacking.doubted)
        self._look_twice()

    def _open(self) -> set[str]:
        """Try what may be far better as a whole, and do away with launches; what is still doubted of a guess."""
        before = self._track.setting
        doubted = self._opening.open(self._diagnosis)
        if self._compiling.has_begun:
            self._time.keep_for_compiling(0.0)
        if is_fast_as_a_whole(self._track.setting, entries=self._plan.entries):
            self._enter_other_world({COMPILE, CUDA_GRAPH})
        if self._track.setting != before:
            self._diagnose()
        self._do_away_with_launches()
        guessed = self._track.setting
        awaited = self._diagnosis.worth_moving if self._diagnosis is not None else ()
        stays = self._simplifying.leave_out_groups(doubted, except_for=awaited)
        self._screening.leave_to_others({name: guessed[name] for name in doubted - stays})
        self._screening.leave_to_others({name: self._plan.baseline.get(name) for name in stays})
        return stays

    def _do_away_with_launches(self) -> None:
        """Where a step mostly waits for them, and no guess has done it."""
        before = self._track.setting
        for way in self._launching.ways(before, self._diagnosis, incumbent=self._track.incumbent):
            if CUDA_GRAPH not in way:
                self._compile(only=way[COMPILE])
            elif self._record(way):
                self._enter_other_world({CUDA_GRAPH})
                self._diagnose()
            if self._track.setting != before:
                return

    def _record(self, way: Mapping[str, Scalar]) -> bool:
        """Adopt a step that is recorded as a whole, if it is faster and what it brings along learns as well."""
        objection = self._judge.objection_to(way)
        finish = self._track.heat("screen", way, objection=objection, may_adopt=True)
        return finish is not None and finish.is_kept

    def _rescue(self, error: ContestantLostError) -> None:
        """Let a setting to beat be there that can be trained with.

        Raises:
            ContestantLostError: There is none, or the baseline was never measured.
        """
        if not self._has_begun:
            raise error
        self._track.rescue(error)

    @property
    def _has_begun(self) -> bool:
        """The baseline was measured, so that the race has something to say."""
        return bool(self._diagnoses or self._track.heats.all)

    @property
    def _diagnosis(self) -> Diagnosis | None:
        return self._diagnoses[-1] if self._diagnoses else None

    def _screen_and_stack(self) -> None:
        for _ in range(_ROUNDS):
            winners = self._find_winners()
            if not winners:
                break
            self._put_together(winners)

    def _put_together(self, winners: Sequence[Finish]) -> None:
        adopted = self._stacking.stack(winners)
        if winners[-1].is_by_far:
            self._enter_other_world(adopted)
        self._screening.forget_what_interacts(adopted)
        if self._time.has_room_for_a_heat:
            self._diagnose()

    def _find_winners(self) -> list[Finish]:
        screening, diagnosis = self._screening, self._diagnosis
        return screening.meet_runners_up(diagnosis) or screening.screen(diagnosis) or screening.look_again(diagnosis)

    def _look_twice(self) -> None:
        """With the time that is left, at what was given up early, and at what that may have been hiding."""
        before = self._screening.doubted
        while winners := self._screening.look_twice(self._diagnosis):
            self._put_together(winners)
            self._screen_and_stack()
        self._simplifying.leave_out_each(self._screening.doubted - before)

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
        self._diagnose()
        return True

    def _enter_other_world(self, adopted: set[str]) -> None:
        """Forget what lost against an incumbent that waited for something else, and measure the noise anew."""
        self._screening.forget_all_but(adopted)
        self._track.find_noise_floor()

    def _diagnose(self) -> None:
        try:
            diagnosis = self._find_bottleneck()
        except ContestantLostError as error:
            if error.kind != "unsupported" or self._track.incumbent.is_retired:
                self._rescue(error)
            return  # a step function of one's own has its own batches: every knob is screened
        self._diagnoses.append(diagnosis)
        self._track.incumbency.note_step(diagnosis.real_seconds)
        self._watch.diagnosed(diagnosis)

    def _find_bottleneck(self) -> Diagnosis:
        """Of the incumbent; not by half a batch where its step has once been lost on one.

        Raises:
            ContestantLostError: It is lost.
        """
        pace = self._plan.pace
        is_fast = is_fast_as_a_whole(self._track.setting, entries=self._plan.entries)
        find = partial(diagnose, seconds=pace.block_seconds, min_steps=pace.min_steps)
        try:
            return find(self._track.incumbent, is_halved=self._can_be_halved and not is_fast)
        except HalfBatchError:
            self._can_be_halved = False
            self._track.restore()
            return find(self._track.incumbent, is_halved=False)

    def _known(self, error: ContestantLostError) -> RaceResult:
        """The baseline, as it was measured last: neither it nor another setting to beat could be started again.

        Raises:
            ContestantLostError: It was never measured.
        """
        baseline = self._track.incumbency.baseline
        if not self._has_begun or not baseline.last_blocks:
            raise error
        self._ended_by = str(error)
        return self._result(baseline, measured(tuple(baseline.last_blocks), baseline.warmed))

    def _result(
        self,
        winner: SharedContestant,
        last: Measurement,
        *,
        outcome: Outcome | None = None,
    ) -> RaceResult:
        plan, track = self._plan, self._track
        setting = dict(winner.setting)
        gain = outcome.gain if outcome is not None else None
        return RaceResult(
            baseline=dict(plan.baseline),
            setting=setting,
            diagnoses=tuple(self._diagnoses),
            noise_floor=track.incumbency.beside.noise_floor,
            noise_floor_in_turns=track.incumbency.in_turns.noise_floor,
            seconds_for_more=self._time.seconds_for_more,
            heats=track.heats.all,
            gain=gain,
            informed=dict(plan.informed) if plan.informed is not None else None,
            informed_gain=outcome.informed_gain if outcome is not None else None,
            guess_refusal=outcome.guess_refusal if outcome is not None else None,
            break_evens=tuple(self._costs.break_evens),
            is_run_too_short_to_compile=self._compiling.is_run_too_short,
            reduced_precision=tuple(shortened(setting, baseline=plan.baseline, entries=plan.entries)),
            samples_per_second=last.samples_per_second,
            baseline_samples_per_second=last.samples_per_second / (gain.ratio if gain else 1.0),
            split=Split(
                data_wait=last.data_wait_share,
                copy_to_device=last.copy_share,
                compute=last.compute_share,
                optimizer=last.optimizer_share,
                epoch_starts=_epoch_starts(last, winner.warmed),
            ),
            peak_memory_bytes=track.incumbency.arena.most_bytes(setting),
            steps_per_epoch=winner.warmed.steps_per_epoch,
            surroundings=Surroundings.of(last.blocks),
            samples_per_step=sum(block.samples for block in last.blocks) / sum(block.steps for block in last.blocks),
            uncharged_starts=_uncharged(winner.warmed, baseline=track.incumbency.baseline.warmed),
            seconds=self._time.spent,
            seconds_given=self._time.given,
            is_cut_short=self._time.is_cut_short or self._ended_by is not None,
            ended_by=self._ended_by,
        )


def _uncharged(winner: Warmed, *, baseline: Warmed) -> EpochStarts | None:
    starts = EpochStarts(winner_seconds=winner.epoch_start_seconds, baseline_seconds=baseline.epoch_start_seconds)
    is_short = max(starts.winner_seconds, starts.baseline_seconds) < _LEAST_START_SECONDS
    return None if winner.steps_per_epoch is not None or is_short else starts


def _epoch_starts(last: Measurement, warmed: Warmed) -> float:
    """What the starts of epochs take, as a share of what they and their steps take; 0 where nobody knows."""
    if not warmed.steps_per_epoch:
        return 0.0
    step_seconds = sum(block.seconds for block in last.blocks) / sum(block.steps for block in last.blocks)
    start_seconds = warmed.epoch_start_seconds / warmed.steps_per_epoch
    return start_seconds / (start_seconds + step_seconds)
