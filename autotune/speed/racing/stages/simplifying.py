"""Simplifying: what a setting that was adopted as a whole can do without."""

from collections.abc import Collection, Iterable, Mapping

from autotune.events import Scalar
from autotune.speed.knobs.entries import apply, is_possible, meaningful
from autotune.speed.knobs.knob import Knob
from autotune.speed.racing.heats.enough import Bar
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.stages.compiling import is_compiled
from autotune.speed.racing.stages.precision import LossJudge
from autotune.task_knob import Bottleneck, Needs

_GROUPS: tuple[frozenset[Needs], ...] = (frozenset({"new loader"}), frozenset({"live", "relaunch"}))
"""Parts that are left out together first, as most of them do nothing for most trainings. What makes a new graph is
not among them: its worth may show only where steps are compiled, and there each trial compiles anew."""


class Simplifying:
    """Doubts the parts of a guess, by groups and then one by one: what is no slower without them stays without.

    Args:
        track: Where the heats are run.
        plan: Has the knobs, and the baseline's values, which are the simpler ones.
        judge: Objects to fewer digits, which are judged together: what some of them do to the loss others may undo.
        time: The race's.
    """

    def __init__(self, track: Track, plan: RacePlan, *, judge: LossJudge, time: RaceTime) -> None:
        self._track = track
        self._plan = plan
        self._judge = judge
        self._time = time
        self._doubted: set[str] = set()
        self._needed: set[frozenset[str]] = set()
        """Groups of knobs that were left out for a try, and stay."""
        self._knobs: Mapping[str, Knob] = {entry.name: entry.knob for entry in plan.entries}

    @property
    def doubted(self) -> set[str]:
        """Knobs that a guess set, which were adopted with it as a whole, and which no group was left out with."""
        return set(self._doubted)

    def doubt(self, names: Collection[str]) -> None:
        """Doubt these knobs of a guess, which was adopted as a whole: nobody has tried them part by part."""
        self._doubted |= set(names)

    def leave_out_groups(self, *, except_for: Collection[Bottleneck] = ()) -> None:
        """Try to do without each group of the doubted knobs; what was left out is doubted no more.

        Args:
            except_for: What a step still waits for. What can move that may well be needed: no group is tried then, and
                the time is better spent on more of the kind.
        """
        for group in _GROUPS:
            part = frozenset(name for name in self._doubted if self._knobs[name].needs in group)
            is_kept = part in self._needed or any(set(self._knobs[name].moves) & set(except_for) for name in part)
            if not part or is_kept or not self._time.may_begin_heat():
                continue
            if self._leave_out(part):
                self._doubted -= part
            else:
                self._needed.add(part)

    def leave_out_each(self, names: Collection[str]) -> None:
        """Try to do without each of these, while there is time; in a compiled step those alone that need no new one."""
        for name in sorted(names):
            if not self._is_dear(name) and self._time.may_begin_heat():
                self._leave_out({name})

    def leave_out_what_slows(self, groups: Iterable[Collection[str]]) -> None:
        """Leave out each of these groups of knobs that the setting to beat is surely faster without, if there is time.

        What won in a moment of the machine's may slow it at all others.
        """
        for names in groups:
            if not any(map(self._is_dear, names)) and self._time.may_begin_heat():
                self._leave_out(names, bar="faster")

    def _is_dear(self, name: str) -> bool:
        """Whether another value of the knob asks for a new graph of a compiled step."""
        has_graph = is_compiled(self._track.incumbent.setting, entries=self._plan.entries)
        return has_graph and self._knobs[name].needs == "new graph"

    def _leave_out(self, names: Collection[str], *, bar: Bar = "no slower without") -> bool:
        """Try these knobs as the baseline has them; whether the setting to beat is without them now."""
        setting: Mapping[str, Scalar] = self._track.incumbent.setting
        baseline = self._plan.baseline
        simpler = meaningful(apply(setting, {name: baseline.get(name) for name in names}), entries=self._plan.entries)
        if simpler == dict(setting) or not is_possible(simpler, entries=self._plan.entries):
            return False
        if not self._track.is_floor_known:
            self._track.find_noise_floor()
        objection = self._judge.objection_to(simpler)
        finish = self._track.heat("simplify", simpler, objection=objection, may_adopt=True, bar=bar)
        return finish is not None and finish.is_kept
