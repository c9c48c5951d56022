"""The race: which speed knobs make this training faster on this machine, measured in seconds.

One incumbent, the setting to beat, stays alive; challengers enter one after the other, train
alternating blocks against it and retire. The order of a race:

1. look at what can move everything (threads, allocators), and adopt at once what is faster by far;
2. find the incumbent's bottleneck, and by a twin of it the noise below which settings tie; screen each
   knob that can move the bottleneck, one value at a time, cheap ones first;
3. stack the winners, find the bottleneck again, and screen what interacts with them or means
   something only now;
4. try ``torch.compile`` where the steps that remain can repay it; a compiled step may wait for something
   else, so that what moves that is screened once more;
5. confirm the winner against the baseline, and against what an informed user would set, on fresh
   contestants.

Ties keep the simpler setting. A setting that can't be trained with is recorded and passed over. A
faster one with fewer digits is kept only while its loss stays within full precision's own noise.
"""

import time
from collections.abc import Callable, Mapping, Sequence

from autotune.events import Bottleneck, Scalar
from autotune.speed.arena import Arena, Contestant, ContestantLostError
from autotune.speed.bottleneck import Diagnosis, diagnose
from autotune.speed.comparison import Comparison
from autotune.speed.compiling import COMPILE, Compiling
from autotune.speed.entries import (
    Entry,
    apply,
    changed,
    difference,
    in_setting,
    is_on,
    is_open,
    is_possible,
    meaningful,
)
from autotune.speed.heats import Clock, gain_of
from autotune.speed.measurement import measure
from autotune.speed.plan import RacePlan, RaceWatch
from autotune.speed.precision import LossJudge
from autotune.speed.result import Gain, RaceResult, Split
from autotune.speed.track import FASTER_BY_FAR, Finish, Track

_ROUNDS = 6
_FOR_FIRST_SIGHT = 0.5
"""Of a race's time, which looks at what can move everything may take at most."""
_EVERYTHING: tuple[Bottleneck, ...] = ("input", "launch", "compute")
_LATE = 1.25
"""A race may end so late that its last confirmation is not lost to an estimate that was a little off."""
_COST_ORDER = {"live": 0, "new loader": 1, "relaunch": 2, "new graph": 3}
_MOST_LOSSES_IN_A_ROW = 2
"""Values of a whole-number knob that are no faster, after which the larger ones are not tried."""
_RIVALS = {"num_workers": "torch_threads"}
"""Of the same cores, one of the two can have more only where the other has less: neither may win alone."""
_INTERACTIONS: tuple[frozenset[str], ...] = (
    frozenset({"num_workers", "torch_threads"}),  # they compete for the same cores
    frozenset({"cache", "torch_threads"}),
    frozenset({"channels_last", "precision"}),  # tensor cores want NHWC
    frozenset({"channels_last", "fp32_precision_conv"}),
    frozenset({"sdpa_backend", "precision"}),  # flash attention takes bf16 and fp16 alone
)
"""Knobs whose gains are known to depend on each other."""


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
    track = Track(arena, baseline=plan.baseline, pace=plan.pace, heard=watch.heat_over, clock=clock)
    try:
        return _Race(track, plan, watch, seconds_spent=lambda: clock() - began).run()
    finally:
        track.close()


class _Race:
    def __init__(self, track: Track, plan: RacePlan, watch: RaceWatch, *, seconds_spent: Clock) -> None:
        self._track = track
        self._plan = plan
        self._watch = watch
        self._seconds_spent = seconds_spent
        self._judge = LossJudge(track.arena)
        self._diagnoses: list[Diagnosis] = []
        self._compiling = Compiling(plan)
        # What the baseline has was measured with it, and is not tried again once something better is found.
        self._tried = {(entry.name, in_setting(self._in_force, entry.name, plan.entries)) for entry in plan.entries}
        self._passed_over: set[str] = set()
        self._is_cut_short = False
        self._compiling_reserve = 0.0

    def run(self) -> RaceResult:
        self._adopt_at_first_sight()
        self._diagnose()
        self._compiling_reserve = self._compiling.reserve(self._track.incumbent)
        if self._plan.start is not None and dict(self._plan.start) != self._setting:
            self._track.heat("start", self._plan.start, may_adopt=True)
        self._screen_and_stack()
        if self._compile() and not self._is_time_up:
            self._enter_other_world({COMPILE})
            self._diagnose()
            self._screen_and_stack()
        return self._finish()

    @property
    def _setting(self) -> dict[str, Scalar]:
        return dict(self._track.incumbent.setting)

    @property
    def _is_time_up(self) -> bool:
        is_up = self._seconds_left() <= self._compiling_reserve
        self._is_cut_short = self._is_cut_short or is_up
        return is_up

    def _screen_and_stack(self) -> None:
        for _ in range(_ROUNDS):
            winners = self._screen()
            if not winners:
                break
            is_other_world = _is_by_far(winners[-1])
            adopted = self._stack(winners)
            if is_other_world:
                self._enter_other_world(adopted)
            self._forget_what_interacts(adopted)
            self._diagnose()

    def _compile(self) -> bool:
        """Try to compile with the time that was kept for it; whether that was adopted."""
        self._compiling_reserve = 0.0
        before = self._setting
        bottleneck = self._diagnoses[-1].kind if self._diagnoses else None
        if not self._compiling.try_modes(self._track, bottleneck=bottleneck, seconds_left=self._seconds_left):
            self._is_cut_short = True
        return self._setting != before

    def _enter_other_world(self, adopted: set[str]) -> None:
        """Forget what lost against an incumbent that waited for something else, and measure the noise anew."""
        self._tried = {(name, value) for name, value in self._tried if name in adopted}
        self._track.find_noise_floor()

    def _seconds_left(self) -> float:
        """Before the confirmations must begin."""
        return self._plan.seconds - self._seconds_spent() - self._track.confirmation_seconds(self._num_confirmations)

    def _adopt_at_first_sight(self) -> None:
        """Look at what can move everything (threads, allocators), before anything is measured closely."""
        for entry in self._plan.entries:
            if not _moves_everything(entry):
                continue
            current = in_setting(self._in_force, entry.name, self._plan.entries)
            for value in _from(current, entry.values):
                setting = changed(self._setting, entry.name, value, entries=self._plan.entries)
                # Even where slow steps leave no time for more: these may be what makes them slow.
                is_over = self._seconds_spent() >= _FOR_FIRST_SIGHT * self._plan.seconds
                if setting is not None and not is_over and self._track.adopt_at_first_sight(setting):
                    self._tried.add((entry.name, current))
                    break

    def _diagnose(self) -> None:
        pace = self._plan.pace
        try:
            diagnosis = diagnose(self._track.incumbent, seconds=pace.block_seconds / 2, min_steps=pace.min_steps)
        except ContestantLostError as error:
            if error.kind != "unsupported":
                raise
            return  # a step function of one's own has its own batches: every knob is screened
        self._diagnoses.append(diagnosis)
        self._watch.diagnosed(diagnosis)

    @property
    def _num_confirmations(self) -> int:
        """Against the baseline, and against an informed guess where that leaves the race half of its time."""
        has_time = self._track.confirmation_seconds(2) <= self._plan.seconds / 2
        return 2 if self._plan.informed is not None and has_time else 1

    def _screen(self) -> list[Finish]:
        """The best challenger of each knob that can move the bottleneck and is surely faster.

        One that is faster by far ends the screening, and is the last.
        """
        movable = self._diagnoses[-1].worth_moving if self._diagnoses else _EVERYTHING
        winners: list[Finish] = []
        for entry in sorted(self._plan.entries, key=lambda entry: _turn(entry, movable)):
            if entry.name == COMPILE or not is_open(entry, self._setting, entries=self._plan.entries):
                continue
            if not set(movable) & set(entry.knob.moves):
                self._pass_over(entry)
                continue
            if self._is_time_up:
                break
            if not self._track.is_floor_known:
                self._track.find_noise_floor()
            best = self._screen_values(entry)
            if best is not None:
                winners.append(best)
                if _is_by_far(best):
                    break
        return winners

    def _pass_over(self, entry: Entry) -> None:
        if entry.name in self._passed_over:
            return
        self._passed_over.add(entry.name)
        moves = " and ".join(entry.knob.moves)
        share = sum(self._diagnoses[-1].shares[kind] for kind in entry.knob.moves)
        setting = {**self._setting, entry.name: None}
        self._track.skip("screen", setting, reason=f"it moves the {moves} share of a step, which is {share:.0%} here")

    def _screen_values(self, entry: Entry) -> Finish | None:
        best: Finish | None = None
        num_lost = 0
        current = in_setting(self._in_force, entry.name, self._plan.entries)
        for value in _from(current, entry.values):
            setting = changed(self._setting, entry.name, value, entries=self._plan.entries)
            if setting is None or (entry.name, value) in self._tried:
                continue
            if self._is_time_up:
                return best
            self._tried.add((entry.name, value))
            finish = self._try(entry, setting)
            if finish is not None and finish.is_kept and (best is None or _ratio(finish) > _ratio(best)):
                best, num_lost = finish, 0
            elif entry.knob.low is not None:
                num_lost += 1
                if num_lost == _MOST_LOSSES_IN_A_ROW:
                    break
        return best

    def _try(self, entry: Entry, setting: Mapping[str, Scalar]) -> Finish | None:
        """The setting by itself, and where that is not kept, with what it takes from its rival."""
        finish = self._track.heat("screen", setting, objection=self._objection(entry))
        if (finish is not None and finish.is_kept) or self._is_time_up:
            return finish
        yielding = self._with_rival_at_its_least(entry.name, setting)
        return finish if yielding is None else self._track.heat("screen", yielding)

    def _with_rival_at_its_least(self, name: str, setting: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        rival = next((entry for entry in self._plan.entries if entry.name == _RIVALS.get(name)), None)
        if rival is None or not is_on(setting.get(name)):
            return None
        least = min(value for value in rival.values if isinstance(value, int))
        if in_setting(self._in_force, rival.name, self._plan.entries) == least:
            return None
        return changed(setting, rival.name, least, entries=self._plan.entries)

    @property
    def _in_force(self) -> dict[str, Scalar]:
        incumbent = self._track.incumbent
        return {**incumbent.warmed.in_force, **incumbent.setting}

    def _objection(self, entry: Entry) -> Callable[[Contestant, Contestant, Comparison], str | None] | None:
        return self._judge.objection if entry.knob.numerics == "reduced precision" else None

    def _stack(self, winners: Sequence[Finish]) -> set[str]:
        """Adopt the best winner, and of the others what makes it faster still; the names of what changed."""
        before = self._setting
        best, *others = sorted(winners, key=_ratio, reverse=True)
        self._track.adopt(best.setting)
        changes = [difference(before, winner.setting) for winner in others]
        whole = self._merged(changes)
        if whole != self._setting and not self._is_time_up:
            stacked = self._track.heat("stack", whole, may_adopt=True, is_proven=True)
            if not (stacked and stacked.is_kept) and len(changes) > 1:  # together they hinder each other
                for change in changes:
                    setting = self._merged([change])
                    if setting != self._setting and not self._is_time_up:
                        self._track.heat("stack", setting, may_adopt=True, is_proven=True)
        return set(difference(before, self._setting))

    def _merged(self, changes: Sequence[Mapping[str, Scalar]]) -> dict[str, Scalar]:
        """The incumbent's setting with these changes, less those that can't go together with what is there."""
        setting = self._setting
        for change in changes:
            candidate = meaningful(apply(setting, change), entries=self._plan.entries)
            kept_all = all(candidate.get(name) == value for name, value in self._kept_values(setting).items())
            if is_possible(candidate, entries=self._plan.entries) and kept_all:
                setting = candidate
        return setting

    def _kept_values(self, setting: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """What was won so far, which no weaker winner may take back."""
        return {name: value for name, value in setting.items() if self._plan.baseline.get(name, ...) != value}

    def _forget_what_interacts(self, adopted: set[str]) -> None:
        """Let knobs be screened again whose gain depends on one that has just changed."""
        partners = {name for pair in _INTERACTIONS if pair & adopted for name in pair - adopted}
        self._tried = {(name, value) for name, value in self._tried if name not in partners}

    def _finish(self) -> RaceResult:
        plan, track = self._plan, self._track
        gain = informed_gain = None
        if self._setting != dict(plan.baseline):
            gain = self._confirm(plan.baseline)
        measured = measure(track.incumbent, seconds=plan.pace.block_seconds, min_steps=plan.pace.min_steps)
        is_time_left = self._seconds_spent() + track.confirmation_seconds(1) <= plan.seconds * _LATE
        if plan.informed is not None and dict(plan.informed) != self._setting and is_time_left:
            changes = difference(plan.baseline, plan.informed)
            comparison = track.confirm("informed", plan.informed, changes=changes)
            informed_gain = gain_of(comparison) if comparison else None
        reduced = {entry.name for entry in plan.entries if entry.knob.numerics == "reduced precision"}
        return RaceResult(
            baseline=dict(plan.baseline),
            setting=self._setting,
            diagnoses=tuple(self._diagnoses),
            noise_floor=track.noise_floor if track.is_floor_known else None,
            heats=track.heats.all,
            gain=gain,
            informed=dict(plan.informed) if plan.informed is not None else None,
            informed_gain=informed_gain,
            break_evens=tuple(self._compiling.break_evens),
            reduced_precision=tuple(name for name in difference(plan.baseline, self._setting) if name in reduced),
            samples_per_second=measured.samples_per_second,
            baseline_samples_per_second=measured.samples_per_second / (gain.ratio if gain else 1.0),
            split=Split(
                data_wait=measured.data_wait_share,
                copy_to_device=measured.copy_share,
                compute=measured.compute_share,
                optimizer=measured.optimizer_share,
            ),
            peak_memory_bytes=track.incumbent.warmed.peak_memory_bytes,
            steps_per_epoch=track.incumbent.warmed.steps_per_epoch,
            seconds=self._seconds_spent(),
            is_cut_short=self._is_cut_short,
        )

    def _confirm(self, baseline: Mapping[str, Scalar]) -> Gain | None:
        """The winner's gain on fresh contestants; where it is none, the baseline wins and None is returned."""
        comparison = self._track.confirm("confirm", baseline, changes=difference(baseline, self._setting))
        if comparison is not None and comparison.verdict == "faster":
            return gain_of(comparison)
        self._track.adopt(baseline)
        return None


def _ratio(finish: Finish) -> float:
    return finish.comparison.ratio


def _moves_everything(entry: Entry) -> bool:
    return set(entry.knob.moves) == set(_EVERYTHING)


def _is_by_far(finish: Finish) -> bool:
    return finish.comparison.interval[0] >= FASTER_BY_FAR


def _turn(entry: Entry, movable: Sequence[Bottleneck]) -> tuple[bool, int, bool, int]:
    """What can move everything goes first, then what moves the largest share, and of equals what is cheap to change.

    Where the training is on a GPU, what its host computes is the last of them.

    The first of a knob's bottlenecks is the one that it is made for.
    """
    main = entry.knob.moves[0]
    place = movable.index(main) if main in movable else len(movable)
    moves_everything = _moves_everything(entry)
    is_aside = entry.knob.is_of_host and not moves_everything
    return not moves_everything, place, is_aside, _COST_ORDER[entry.knob.needs]


def _from(current: Scalar, values: Sequence[Scalar]) -> list[Scalar]:
    """The values that differ from the current one; numbers upwards from it first, then downwards."""
    others = [value for value in values if value != current]
    if not all(isinstance(value, int) for value in (current, *values)):
        return others
    return [v for v in others if v > current] + [v for v in reversed(others) if v < current]  # type: ignore[operator]
