"""Screening: the values of one knob after the other, each by itself against the incumbent."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, in_setting, is_open
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.racing.heats.enough import WORTH_MORE, Bar
from autotune.speed.racing.heats.finish import Finish
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.stages.compiling import COMPILE, is_compiled
from autotune.speed.racing.stages.costs import Costs
from autotune.speed.racing.stages.launching import is_fast_as_a_whole
from autotune.speed.racing.stages.order import EVERYTHING, complexity, is_input_first, outwards, turn, why_not
from autotune.speed.racing.stages.precision import LossJudge
from autotune.speed.racing.stages.undecided import Undecided
from autotune.speed.racing.stages.ways import Ways

_MOST_FOR_A_PASS = 0.3
"""Share of a race's time left that a heat may take which begins with a pass over all data."""
_MOST_LOSSES_IN_A_ROW = 2
"""Values of a whole-number knob that are no faster than the best, after which no others are tried."""


class Screening:
    """Tries each value of each knob once, until what it was tried against has changed.

    Args:
        track: Where the heats are run.
        plan: The knobs and their values.
        judge: Objects to settings that compute with fewer digits, where they do not learn as well.
        costs: Objects to what starts slowly, where a run does not repay it.
        time: The race's.
    """

    def __init__(self, track: Track, plan: RacePlan, *, judge: LossJudge, costs: Costs, time: RaceTime) -> None:
        self._track = track
        self._plan = plan
        self._time = time
        self._judge = judge
        self._costs = costs
        self._ways = Ways(track.incumbency, plan)
        self._tried = self._own
        """Values, each with its knob's name, that need not meet the setting to beat: they did, or it has them."""
        self._again: set[str] = set()
        """Knobs that lost, and whose gain may be another one since."""
        self._passed_over: set[str] = set()
        """Knobs of which a heat says that they were passed over."""
        self._winners: dict[str, Finish] = {}
        """The winners of the last screening, by knob."""
        self._screened_against: Mapping[str, Scalar] = {}
        """The setting to beat of the last screening."""
        self._diagnosis: Diagnosis | None = None
        """What that setting waited for; None where nobody knows."""
        self._unproven: set[str] = set()
        """Knobs that were adopted beside a runner-up, without having been surely faster alone."""
        self._undecided = Undecided(most_quads=plan.pace.screen_quads)

    def screen(self, diagnosis: Diagnosis | None) -> list[Finish]:
        """The best challenger of each knob that can move the bottleneck and is surely faster.

        One that is faster by far ends the screening, and is the last. Without a diagnosis, every knob is tried.
        """
        movable = diagnosis.worth_moving if diagnosis is not None else EVERYTHING
        self._winners, self._screened_against, self._diagnosis = {}, self._track.setting, diagnosis
        self._time.keep_no_heats()
        is_fast = is_fast_as_a_whole(self._track.setting, entries=self._plan.entries)
        order = partial(turn, movable=movable, is_input_first=is_input_first(diagnosis, is_fast_as_a_whole=is_fast))
        # What nobody has tried yet is the likelier winner.
        for entry in sorted(self._plan.entries, key=lambda entry: (entry.name in self._again, order(entry))):
            if not self._is_open(entry):
                continue
            if (reason := self._why_passed_over(entry, diagnosis)) is not None:
                self._pass_over(entry, reason)
                continue
            if not self._time.may_begin_heat():
                break
            if not self._track.is_floor_known:
                self._track.find_noise_floor()
            best = self._screen_values(entry)
            if best is not None:
                self._winners[entry.name] = best
                self._time.keep_for_winners(has_runners_up=bool(self._undecided.runners_up))
                if best.is_by_far:
                    break
        return list(self._winners.values())

    def meet_runners_up(self, diagnosis: Diagnosis | None) -> list[Finish]:
        """Let the runners-up of what was adopted meet it face to face; those that are better now.

        Each is tried beside other knobs' values that seemed faster and are not adopted: two workers are worth more than
        one where a step computes faster, and that shows where it has two workers.
        """
        return self._look_again(self._undecided.runners_up, diagnosis, bar="better of two winners", hopes=self._hopes)

    def look_again(self, diagnosis: Diagnosis | None) -> list[Finish]:
        """Let what noise may have hidden meet the setting to beat once more; those that are faster now."""
        return self._look_again(list(self._undecided.hidden), diagnosis, bar="faster", hopes={})

    def look_twice(self, diagnosis: Diagnosis | None) -> list[Finish]:
        """Let what was given up after few quads meet the setting to beat once more, where there is time for it.

        The likeliest comes first, each knob once, and the first that is faster now is the answer, since it may change
        the others'. Each is tried beside those that were given up, too, and whose gain is known to depend on it: of two
        that gain together alone, neither wins by itself.
        """
        entries = {entry.name: entry for entry in self._plan.entries}
        self._diagnosis = diagnosis
        self._time.keep_no_heats()
        given_up = self._undecided.given_up
        for name in sorted(given_up, key=lambda name: -given_up[name].ratio):
            if not self._time.has_room_for_a_heat:
                break
            setting = self._ways.changed(entries[name], self._undecided.take_given_up(name))
            is_open = setting != self._track.setting and self._why_passed_over(entries[name], diagnosis) is None
            if setting is None or not is_open:
                continue
            partners = self._ways.partners({name}) & given_up.keys()
            hopes = {partner: given_up[partner].setting.get(partner) for partner in sorted(partners)}
            finish = self._try_with_hopes(name, setting, bar="faster", hopes=hopes)
            if finish is not None and finish.is_kept:
                return [finish]
        return []

    def _look_again(
        self, names: Sequence[str], diagnosis: Diagnosis | None, *, bar: Bar, hopes: Mapping[str, Scalar]
    ) -> list[Finish]:
        """Let hidden values of these knobs meet the setting to beat, the likeliest first; those that are kept."""
        entries = {entry.name: entry for entry in self._plan.entries}
        winners: list[Finish] = []
        self._diagnosis = diagnosis
        self._time.keep_no_heats()
        for name in sorted(names, key=lambda name: -self._undecided.hidden[name].ratio):
            if not self._time.may_begin_heat():
                break
            setting = self._ways.changed(entries[name], self._undecided.take_hidden(name))
            if setting is None or self._why_passed_over(entries[name], diagnosis) is not None:
                continue
            finish = self._try_with_hopes(name, setting, bar=bar, hopes=hopes)
            if finish is not None and finish.is_kept:
                winners.append(finish)
                self._time.keep_for_winners(has_runners_up=False)
        return winners

    def _try_with_hopes(
        self, name: str, setting: dict[str, Scalar], *, bar: Bar, hopes: Mapping[str, Scalar]
    ) -> Finish | None:
        """Try the setting beside what else seemed faster, and where that is not kept, or is nothing, as it is."""
        hopeful = self._ways.with_hopes(setting, hopes)
        if hopeful != setting:
            finish = self._try(name, hopeful, bar=bar)
            if finish is not None and finish.is_kept:
                self._unproven |= {other for other in hopes if hopeful.get(other) != setting.get(other)}
                return finish
            if not self._time.may_begin_heat():
                return finish
        return self._try(name, setting, bar=bar)

    @property
    def _hopes(self) -> dict[str, Scalar]:
        """Values that seemed faster, of knobs that stand as they stood when they were screened."""
        setting, before = self._track.setting, self._screened_against
        seemed = {**self._undecided.hidden, **self._winners}
        runners_up = self._undecided.runners_up
        names = [name for name in seemed if name not in runners_up and setting.get(name) == before.get(name)]
        return {name: seemed[name].setting.get(name) for name in names}

    @property
    def brought_along(self) -> set[str]:
        """Knobs that the setting to beat has only because something else was tried beside them."""
        return self._ways.brought_along | self._unproven

    def note_tried(self, values: Collection[tuple[str, Scalar]]) -> None:
        """Note values that lost, each with its knob's name: what beat them need not meet them again."""
        self._tried |= set(values)

    def leave_to_others(self, changes: Mapping[str, Scalar]) -> None:
        """Leave out these values, which are tried elsewhere, or were and are not wanted."""
        setting = {name: value for name, value in changes.items() if value is not None}
        self._tried |= {(name, in_setting(setting, name, self._plan.entries)) for name in changes}

    def forget_all_but(self, adopted: set[str]) -> None:
        """Let all be tried again but what was adopted: the incumbent waits for something else now."""
        self._tried = {(name, value) for name, value in self._tried if name in adopted} | self._own
        self._again.clear()

    def forget_what_interacts(self, adopted: set[str]) -> None:
        """Let knobs be tried again whose gain depends on one that has just changed."""
        partners, more = self._ways.partners(adopted), self._ways.more_to_feed(adopted)
        self._again |= {name for name, _ in self._tried - self._own} & partners
        self._tried = {(name, value) for name, value in self._tried if name not in partners} - more | self._own

    @property
    def _own(self) -> set[tuple[str, Scalar]]:
        """The values of the setting to beat, which was measured with them: what beats it need not meet them again."""
        return {(entry.name, self._ways.current(entry)) for entry in self._plan.entries}

    def _is_open(self, entry: Entry) -> bool:
        """Whether the knob means anything beside the setting to beat, is screened, and was not refused as a whole."""
        is_out = entry.name == COMPILE or self._track.heats.has_refused(entry.name)
        return not is_out and is_open(entry, self._track.setting, entries=self._plan.entries)

    @property
    def _is_compiled(self) -> bool:
        return is_compiled(self._track.setting, entries=self._plan.entries)

    def _pass_over(self, entry: Entry, reason: str) -> None:
        """Record once that a knob is passed over, where it has values to try."""
        is_tried = next(self._untried(entry), None) is None
        if entry.name not in self._passed_over and not is_tried:
            self._passed_over.add(entry.name)
            self._track.skip("screen", {**self._track.setting, entry.name: None}, reason=reason)

    def _why_passed_over(self, entry: Entry, diagnosis: Diagnosis | None) -> str | None:
        """Why a knob is not tried: it can't move what a step waits for, or takes too long; None where it is."""
        return why_not(entry, diagnosis) or self._why_too_long(entry, diagnosis)

    def _why_too_long(self, entry: Entry, diagnosis: Diagnosis | None) -> str | None:
        """Why this race has no time for the knob's start; None where it has, or where nobody knows."""
        if entry.knob.needs == "new graph" and self._is_compiled:
            seconds = self._time.compile_seconds
            return (
                f"compiling anew takes about {seconds:.0f} s, too long for this race"
                if self._time.left() < seconds
                else None
            )
        if diagnosis is None or not entry.knob.starts_with_a_pass:
            return None
        num_steps = self._track.incumbent.warmed.steps_per_epoch or 0
        num_fetching = max(1, int(self._track.setting.get("num_workers") or 0))
        seconds = num_steps * num_fetching * diagnosis.input_share * diagnosis.real_seconds
        left = self._time.left()
        if left <= 0 or seconds <= _MOST_FOR_A_PASS * left:
            return None
        return f"a first pass over the data takes about {seconds:.2g} s, too long where the race has {left:.2g} s left"

    def _screen_values(self, entry: Entry) -> Finish | None:
        """Try this knob's values; the best that was kept, None where none was."""
        finishes: list[Finish] = []
        best: Finish | None = None
        num_lost = 0
        for value, setting in self._untried(entry):
            if not self._time.may_begin_heat() or num_lost == _MOST_LOSSES_IN_A_ROW:
                break
            self._tried.add((entry.name, value))
            finish = self._try(entry.name, setting)
            if finish is not None:
                finishes.append(finish)
            elif self._track.heats.has_refused(entry.name):
                break
            before, best = best, self._best_of(entry, finishes)
            num_lost = 0 if best is not before or entry.knob.low is None else num_lost + 1
        if finishes:
            self._undecided.note(entry.name, finishes, best=best)
        return best

    def _best_of(self, entry: Entry, finishes: Sequence[Finish]) -> Finish | None:
        """The fastest that was kept; of numbers the simplest that is no slower than that by what counts."""
        kept = [finish for finish in finishes if finish.is_kept]
        if not kept:
            return None
        fastest = max(finish.ratio for finish in kept)
        worth = WORTH_MORE if entry.knob.low is not None else 1.0
        near = [finish for finish in kept if finish.ratio * worth >= fastest]
        entries = self._plan.entries
        return min(near, key=lambda finish: complexity(entry, in_setting(finish.setting, entry.name, entries)))

    def _untried(self, entry: Entry) -> Iterator[tuple[Scalar, dict[str, Scalar]]]:
        """The knob's values that may be tried now, each with the setting that has it."""
        for value in outwards(self._ways.current(entry), entry.values):
            setting = self._ways.changed(entry, value)
            is_open = (entry.name, value) not in self._tried and not self._is_won(entry, value)
            if setting is not None and is_open and not self._is_way_back(entry, value):
                yield value, setting

    def _is_won(self, entry: Entry, value: Scalar) -> bool:
        """Whether a winner of this screening has the value already, as it needed it: alone it would come to no more."""
        winners = [winner.setting for winner in self._winners.values()]
        return any(in_setting(setting, entry.name, self._plan.entries) == value for setting in winners)

    def _is_way_back(self, entry: Entry, value: Scalar) -> bool:
        """Whether the value is the baseline's, which lost before, and would make a new graph of a compiled step."""
        is_dear = entry.knob.needs == "new graph" and self._is_compiled
        return is_dear and value == in_setting(self._plan.baseline, entry.name, self._plan.entries)

    def _try(self, name: str, setting: dict[str, Scalar], *, bar: Bar = "faster") -> Finish | None:
        """Try the setting as it is, or with what it takes from its rival; the first way that is kept, else the last."""
        finish: Finish | None = None
        for number, way in enumerate(self._ways.of(name, setting, self._diagnosis)):
            if number > 0 and not self._time.may_begin_heat():
                break
            objection = self._costs.objection(name, then=self._judge.objection_to(way))
            finish = self._track.heat("screen", way, objection=objection, bar=bar)
            if finish is not None and finish.is_kept:
                self._ways.learn(name, finish.setting)
                break
        return finish
