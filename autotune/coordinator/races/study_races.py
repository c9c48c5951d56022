"""One race inside a study: it is run, paid for, told while it runs, and written down with what follows it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from autotune.coordinator.races.allowance import Allowance
from autotune.coordinator.races.batch_room import SHARE, BatchRoom
from autotune.coordinator.races.ground import Entrant, RaceGround
from autotune.coordinator.races.log import RaceLog
from autotune.coordinator.races.watchman import OVERRUN, Watchman
from autotune.coordinator.races.words import batch_lines, price_lines
from autotune.coordinator.speeds import Floor, RaceEndedError
from autotune.coordinator.standing import Standing
from autotune.coordinator.workloads import Workload, kept_state
from autotune.outages import undisturbed_seconds
from autotune.recording.lease import StudyLease
from autotune.speed.racing.plan import RaceWatch
from autotune.speed.racing.race import race
from autotune.speed.racing.result import Heat, RaceResult, TriedBatch
from autotune.speed.racing.run_length import RunLength
from autotune.speed.racing.words import change_words, race_words, times_words


class StudyRaces:
    """Runs races of a study's workloads, one at a time.

    Args:
        ground: What is raced, and by whom.
        log: Where races are kept.
        room: Tries larger batches, and learns what races held.
        standing: The study's clock.
        lease: The study's, through which others hear how a race goes.
        note: Called with a line that a person should see.
    """

    def __init__(
        self,
        ground: RaceGround,
        *,
        log: RaceLog,
        room: BatchRoom,
        standing: Standing,
        lease: StudyLease,
        note: Callable[[str], None],
    ) -> None:
        self._ground = ground
        self._log = log
        self._room = room
        self._standing = standing
        self._lease = lease
        self._note = note

    def run(
        self,
        entrant: Entrant,
        *,
        floor: Floor,
        former: RaceResult | None,
        run: RunLength,
        allowance: Allowance,
        why: str,
    ) -> RaceResult | None:
        """Race a workload, and keep what was found; None where the race was ended before its end, which is told.

        Args:
            entrant: The workload.
            floor: The device, which nothing else of the study is on.
            former: The race of the workload that is most like it, or of it for shorter runs.
            run: How long a training is.
            allowance: What the race may take.
            why: Follows its first line, such as ``, briefly``.

        Raises:
            ContestantLostError: Not even the baseline could be measured.
        """
        floor.clear()
        learning, workload = entrant.learning, entrant.workload
        seconds, in_turns = allowance.seconds, allowance.seconds_in_turns
        plan = self._ground.plan(learning, seconds=seconds, seconds_in_turns=in_turns, former=former, run=run)
        watchman = self._watchman(workload, floor=floor, seconds=seconds)
        say = partial(self._say, watchman=watchman)
        say(f"race: {workload.words}, up to {seconds:.0f} s{why}")

        def take_turns() -> None:
            watchman.seconds = in_turns
            say(f"race: no room for two of these trainings side by side: they take turns, up to {in_turns:.0f} s")

        watch = RaceWatch(
            diagnosed=lambda diagnosis: say(f"race: {diagnosis.words}"),
            heat_over=lambda heat: self._heard(heat, workload, say=say),
            takes_turns=take_turns,
        )
        try:
            lease, on_wait = floor.lease, watchman.check
            with self._ground.arena(learning, lease=lease, on_wait=on_wait, seconds=seconds) as arena:
                result = race(arena, replace(plan, overrun=OVERRUN), watch=watch, clock=undisturbed_seconds)
        except RaceEndedError as error:
            self._note(f"race: ended without a winner, {error}")
            return None
        finally:
            self._stand_down(watchman)
        result = result.model_copy(update={"kept_state": kept_state(learning)})
        self._room.learn(result, workload=workload)
        race_id = self._log.keep(result, workload=workload, ground=self._ground)
        for line in (race_words(result), *price_lines(result)):
            self._note(f"race: {line}")
        self.try_batches(race_id, result, entrant=entrant, floor=floor, allowance=allowance)
        return result

    def try_batches(
        self, race_id: int, result: RaceResult, *, entrant: Entrant, floor: Floor, allowance: Allowance
    ) -> None:
        """Find out which of the study's larger batches fit, and write it down beside the race with this id."""
        floor.clear()
        watchman = self._watchman(None, floor=floor, seconds=SHARE * allowance.seconds)

        def on_begin(largest: int) -> None:
            self._say(f"race: whether batches of up to {largest:,} fit", watchman=watchman)

        tries: list[TriedBatch] = []
        try:
            self._room.try_larger(
                result,
                learning=entrant.learning,
                lease=floor.lease,
                watchman=watchman,
                on_begin=on_begin,
                on_tried=tries.append,
            )
        except RaceEndedError as error:
            what = "not all batches were tried" if tries else "which batches fit was not found out"
            self._note(f"race: {what}, {error}")
        finally:
            self._stand_down(watchman)
        if tries:
            told = result.model_copy(update={"batches": (*result.batches, *tries)})
            self._room.learn(told, workload=entrant.workload)
            self._log.complete(race_id, told)
            for line in batch_lines(tries):
                self._note(f"race: {line}")

    def _watchman(self, workload: Workload | None, *, floor: Floor, seconds: float) -> Watchman:
        """Who pays for a race of this workload; None for batches that are tried after one."""
        charge = partial(self._log.charge, workload=workload, ground=self._ground)
        return Watchman(charge, self._standing, floor, seconds=seconds)

    def _stand_down(self, watchman: Watchman) -> None:
        """Charge the rest of what a race took, and tell others that none runs any more."""
        watchman.charge()
        self._lease.tell(None)

    def _heard(self, heat: Heat, workload: Workload, *, say: Callable[[str], None]) -> None:
        """Show a heat in Optuna's dashboard, and say what it found, where that is kept."""
        self._log.add_heat(heat, workload=workload)
        if heat.verdict == "kept":
            # What is kept without a comparison was faster by far at first sight, as its reason says.
            gain = heat.gain and times_words(heat.gain, of="the throughput", than="what it was tried against")
            say(f"race: {change_words(heat)}: {gain or heat.reason} ({heat.stage})")
        elif heat.verdict == "infeasible":
            self._note(f"race: {change_words(heat)}: passed over, {heat.reason}")

    def _say(self, line: str, *, watchman: Watchman) -> None:
        """Say a line here, and to those who watch the study from elsewhere while the race runs."""
        self._note(line)
        self._lease.tell(watchman.activity(line))
