"""Races inside a study: which workload is raced when, and what each trial takes of what was found.

The first race, of the baseline's workload, is a whole one. It waits until the baseline has been trained, which
keeps its own speed parameters and is the first answer that a study has; where several trials run at once it comes
before all of them, for a race needs the device to itself, and before all that an earlier start has left, too, where
that found no winner here (it was stopped in its race, or ran on another machine). A workload that comes up later races
briefly, from the winner of the one that is most like it, when no other trial runs and races have
not had their share of the study's time; otherwise it takes that winner over, but for what of it computes
with fewer digits: whether the loss bears that was judged on the other workload alone.

A winner is for every run length, as far as a run repays it (``repayment.py``): shorter trials than those that it was
raced for don't compile where they train for too few steps, and a workload whose race had no reason to try that is raced
again for runs that are long enough.

A workload whose race is lost with its setting to beat (it crashed, or others filled the device) is raced once more in
this start, before a later trial; several in a row end its races. One whose race runs out of memory as it begins, with
the baseline's setting, does not fit: its trials are refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autotune.coordinator.books import Books
from autotune.coordinator.fitting import Fitting
from autotune.coordinator.races.allowance import DEFAULT_SHARE, Allowance, Allowances
from autotune.coordinator.races.batch_room import BatchRoom
from autotune.coordinator.races.ground import Entrant, RaceGround
from autotune.coordinator.races.log import RaceLog
from autotune.coordinator.races.study_races import StudyRaces
from autotune.coordinator.races.typical_run import TypicalRun
from autotune.coordinator.races.winners import Winners
from autotune.coordinator.speeds import Floor
from autotune.coordinator.standing import Standing
from autotune.coordinator.workloads import kept_state
from autotune.events import Scalar
from autotune.goals import BASELINE_NUMBER
from autotune.search.space import SearchSpace
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.racing.repayment import may_compile_now, repaid_now, setting_for, unpaid
from autotune.speed.racing.result import RaceResult
from autotune.speed.racing.run_length import RunLength
from autotune.trial.leases import Lease

_MOST_FAILURES = 3
"""After so many races of different workloads that crashed in a row a start races no more: that is the task's doing, or
the machine's, and another race would cost time and say the same."""


@dataclass(frozen=True)
class _TakenOver:
    """The race whose winner trials of a workload train with."""

    winner: RaceResult
    is_of_another_workload: bool
    """It was not raced itself: of what won on the nearest one it takes nothing that computes with fewer digits."""


_COMPANY = "company"


class RacedSpeeds:
    """Speed parameters from the race of each trial's workload."""

    def __init__(
        self,
        books: Books,
        *,
        ground: RaceGround,
        log: RaceLog,
        space: SearchSpace,
        standing: Standing,
        fitting: Fitting,
        note: Callable[[str], None],
    ) -> None:
        """No race is known before ``load``.

        Args:
            books: The study's.
            ground: Its task, space and device.
            log: Where races are kept.
            space: The study's, with its speed parameters.
            standing: The study's clock.
            fitting: Learns what races hold of the device's memory.
            note: Called with a line that a person should see.
        """
        self._ground = ground
        self._log = log
        self._space = space
        share = float(str(books.spec.speed_search.options.get("share", DEFAULT_SHARE)))
        self._allowances = Allowances(budget=books.spec.budget, share=share, standing=standing)
        self._length = TypicalRun(books, by_budget=ground.run)
        self._fitting = fitting
        self._room = BatchRoom(ground, space=space, fitting=fitting)
        self._winners = Winners(books, ground=ground, log=log, room=self._room)
        self._races = StudyRaces(ground, log=log, room=self._room, standing=standing, lease=books.lease, note=note)
        self._note = note
        self._race_right = books.race_right
        self._company = books.company
        self._has_crew = books.crew is not None
        self._trains_one_at_a_time = not books.is_contended
        self._failures = 0
        """Races that crashed since one came to its end."""
        self._raced: set[str] = set()
        """Digests of the workloads that this start has raced and does not race again, whatever came of it."""
        self._lost: set[str] = set()
        """Digests of the workloads of which this start has lost a race with its setting to beat."""
        self._tried: set[str] = set()
        """Digests of workloads whose race was known and whose larger batches this start has tried."""
        self._told_of: set[str] = set()
        """Knobs of winners that trials go without, which was said."""
        self._is_told_of_no_time = False

    def load(self) -> None:
        """Read what earlier starts and studies found on machines like this one, and tell of it."""
        self._winners.load()
        if num := len(self._winners):
            known = f"winners of {num} workloads" if num > 1 else "winner of a workload"
            self._note(f"races: this machine knows the {known} of this task")

    def measure_first(self, floor: Floor) -> None:
        """Race the baseline's workload where several trials run at once and no winner is known here yet."""
        if not self._trains_one_at_a_time:
            self._measure(self._ground.entrant(self._space.learning.baseline), floor=floor)

    def measure(self, number: int, parameters: Mapping[str, Scalar], *, floor: Floor) -> None:
        """Race the baseline's workload, then that of the trial, each where it is open and there is time for it.

        Where trials run one at a time the baseline is trained before anything is raced.
        """
        is_baseline, baseline = number == BASELINE_NUMBER, self._ground.entrant(self._space.learning.baseline)
        if not is_baseline or not self._trains_one_at_a_time:
            self._measure(baseline, floor=floor)
        if not is_baseline and self._ground.entrant(parameters).digest != baseline.digest:
            self._measure(self._ground.entrant(parameters), floor=floor)

    def may_measure(self, number: int, parameters: Mapping[str, Scalar]) -> bool:
        """Whether a race would be run before the trial, if it came now: its workload's, or the baseline's."""
        entrants = [self._ground.entrant(self._space.learning.baseline)]
        if number != BASELINE_NUMBER:
            entrants.append(self._ground.entrant(parameters))
        run = self._length.now()
        return any(self._is_open(each, run) and self._allowance(each).is_enough for each in entrants)

    def complete(self, number: int, parameters: Mapping[str, Scalar], *, lease: Lease | None) -> dict[str, Scalar]:
        """These with the winner of their workload's race, or of the nearest workload's, as far as the trial repays it.

        The baseline keeps its own speed parameters.
        """
        entrant = self._ground.entrant(parameters)
        taken_over = None if number == BASELINE_NUMBER else self._taken_over(entrant, lease=lease)
        if taken_over is None:
            return self._begins(entrant)
        is_full = taken_over.is_of_another_workload
        setting = setting_for(taken_over.winner, self._length.now(), in_full_precision=is_full)
        return self._space.with_speed(entrant.learning, setting)

    def fallback(self, number: int, parameters: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """The trial's parameters with the baseline's speed parameters.

        None for the baseline, and where the race's are the same.
        """
        fallback = self._begins(self._ground.entrant(parameters))
        return None if number == BASELINE_NUMBER or fallback == dict(parameters) else fallback

    def rule_out(self, parameters: Mapping[str, Scalar]) -> None:
        """Later trials of this workload, in later starts on such a machine too, have the baseline's speed parameters.

        Later starts know it by the row of the trial that fell back.
        """
        self._winners.rule_out(self._ground.entrant(parameters))

    def _begins(self, entrant: Entrant) -> dict[str, Scalar]:
        """All that a trial of this workload trains with that has the baseline's speed parameters, as a race begins."""
        return self._space.with_speed(entrant.learning, self._space.baseline)

    def _measure(self, entrant: Entrant, *, floor: Floor) -> None:
        """Find out about this workload what can be found out now, and say which knobs its trials go without."""
        if self._winners.is_ruled_out(entrant):
            return
        run = self._length.now()
        if floor.is_alone and self._is_open(entrant, run):
            self._race_if_allowed(entrant, floor=floor, run=run)
        elif self._has_crew and self._winners.may_grow(entrant):
            self._winners.hear()  # others race while trials run here
        known = self._winners.of(entrant)
        if known is not None and floor.is_alone:
            self._try_batches_after(known, entrant=entrant, floor=floor)
        taken_over = self._taken_over(entrant, lease=floor.lease)
        if taken_over is not None:
            self._tell_of_unpaid(taken_over.winner, run)

    def _taken_over(self, entrant: Entrant, *, lease: Lease | None) -> _TakenOver | None:
        """The race whose winner trials of this workload train with; None where that is the baseline's setting."""
        if self._winners.is_ruled_out(entrant):
            return None
        known = self._winners.of(entrant)
        if known is not None:
            return _TakenOver(known, is_of_another_workload=False)
        nearest = self._winners.nearest(entrant)
        if nearest is None or (lease is not None and not self._fits(entrant, lease=lease)):
            return None  # and with the baseline's the ledger refuses the trial of a workload that does not fit
        return _TakenOver(nearest, is_of_another_workload=True)

    def _tell_of_no_time(self) -> None:
        """Say once why a study of which no race is known runs none."""
        if not self._winners and not self._raced and not self._is_told_of_no_time:
            self._is_told_of_no_time = True
            self._note("races: none is run: too little of the study's time is left to repay one")

    def _tell_of_company(self) -> None:
        """Say once why no race is run, where other programs may train on the device."""
        words = self._company.words()
        if words is not None and _COMPANY not in self._told_of:
            self._told_of.add(_COMPANY)
            self._note(f"races: none is run now, {words}")

    def _tell_of_unpaid(self, result: RaceResult, run: RunLength) -> None:
        """Say once of each knob that trials are without it, though it won."""
        for even in unpaid(result, run):
            if even.knob not in self._told_of:
                self._told_of.add(even.knob)
                cost = f"its {even.start_seconds:.1f} s are repaid after {even.steps:,} steps"
                self._note(f"races: trials go without the winner's {even.knob}: {cost}, and they have fewer")

    def _fits(self, entrant: Entrant, *, lease: Lease) -> bool:
        """Whether nothing says that a race would run out of memory as it begins."""
        return self._fitting.fits_alone(parameters=self._begins(entrant), lease=lease)

    def _is_open(self, entrant: Entrant, run: RunLength) -> bool:
        """Whether a race of this workload may find something that is not known."""
        is_done = entrant.digest in self._raced or self._winners.is_ruled_out(entrant)
        if is_done or self._failures >= _MOST_FAILURES:
            return False
        known = self._winners.of(entrant)
        return known is None or may_compile_now(known, run) or bool(repaid_now(known, run))

    def _race_if_allowed(self, entrant: Entrant, *, floor: Floor, run: RunLength) -> None:
        """Race a workload that is open, if there is time for that and nobody else races."""
        former, allowance = self._winners.nearest(entrant), self._allowance(entrant)
        if not allowance.is_enough:
            self._tell_of_no_time()
            return
        if self._fitting.reason_not_to_train(self._begins(entrant), lease=floor.lease) is not None:
            return
        with self._race_right(self._ground.machine) as has_right:
            self._winners.hear()
            if has_right and self._is_open(entrant, run):
                self._raced.add(entrant.digest)
                self._race(entrant, floor=floor, former=former, run=run, allowance=allowance)
            elif not has_right:
                self._tell_of_company()

    def _allowance(self, entrant: Entrant) -> Allowance:
        """What the next race, which is of this workload, may take."""
        is_new = self._winners.nearest(entrant) is None or self._winners.of(entrant) is not None
        if self._raced or not is_new:  # after a race the next one has to wait for its share of the study's time
            return self._allowances.next()
        unfinished = self._log.unfinished_seconds(entrant.workload, ground=self._ground)
        return self._allowances.first(unfinished_seconds=unfinished)

    def _race(
        self, entrant: Entrant, *, floor: Floor, former: RaceResult | None, run: RunLength, allowance: Allowance
    ) -> None:
        """Race a workload, and remember what was found, unless it answers nothing and something is known already."""
        is_known = self._winners.of(entrant) is not None
        again = ", again: trials are long enough now to repay what starts slowly" if is_known else ""
        why = again or (", briefly" if former else "")
        try:
            result = self._races.run(entrant, floor=floor, former=former, run=run, allowance=allowance, why=why)
        except ContestantLostError as error:
            self._fail(error, entrant=entrant)
            return
        if result is None:
            return
        self._failures = 0
        is_lost = result.ended_by is not None and not result.is_answer
        if is_lost and self._may_race_again(entrant):
            self._note(f"race: {entrant.workload.words} is raced once more before a later trial")
        elif result.is_answer or not is_known:
            self._winners.add(entrant, result)

    def _may_race_again(self, entrant: Entrant) -> bool:
        """Open a workload once more whose race was lost with its setting to beat; False where one was before."""
        if entrant.digest in self._lost:
            return False
        self._lost.add(entrant.digest)
        self._raced.discard(entrant.digest)
        return True

    def _try_batches_after(self, result: RaceResult, *, entrant: Entrant, floor: Floor) -> None:
        """Try larger batches after a race that is known, as far as no start has tried them; once in this start."""
        digest = entrant.digest
        is_done = digest in self._raced or digest in self._tried
        is_alike = kept_state(entrant.learning) == result.kept_state
        if is_done or not is_alike or not self._room.is_open(result, learning=entrant.learning):
            return
        is_first = not self._raced and not self._tried
        allowance = self._allowances.first(unfinished_seconds=0.0) if is_first else self._allowances.next()
        if not allowance.is_enough:
            return
        with self._race_right(self._ground.machine) as has_right:
            race_id = self._log.newest(entrant.workload, ground=self._ground) if has_right else None
            if race_id is not None:
                self._tried.add(digest)
                self._races.try_batches(race_id, result, entrant=entrant, floor=floor, allowance=allowance)

    def _fail(self, error: ContestantLostError, *, entrant: Entrant) -> None:
        """Say what could not be raced; a workload that is too large for the device says nothing of the others."""
        if error.kind != "out of memory" and entrant.digest not in self._lost:
            self._failures += 1
        self._fitting.learn_lost_race(self._begins(entrant), shortage=error.shortage)
        where = f"the baseline can't be measured with {entrant.workload.words} ({error})"
        is_passing = error.kind in {"crashed", "out of memory"} and error.shortage is None
        if is_passing and self._may_race_again(entrant):
            rest = "it is raced once more before a later trial"
        else:
            rest = f"its trials {'take speed parameters unraced' if error.shortage is None else 'are not launched'}"
        self._note(f"race: {where}; {rest}")
        if self._failures == _MOST_FAILURES:
            self._note(f"race: {_MOST_FAILURES} workloads in a row could not be raced; this start races no more")
