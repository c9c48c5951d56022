"""``torch.compile`` in a race: last, and only where the steps that remain repay what it costs."""

from collections.abc import Mapping, Sequence

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, changed, in_setting
from autotune.speed.measuring.arena import Contestant
from autotune.speed.measuring.comparison import Comparison
from autotune.speed.racing.heats.finish import Finish, Objection
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.result import HeatStage
from autotune.speed.racing.stages.costs import Costs, unpaid_words
from autotune.task_knob import Bottleneck

COMPILE = "compile"
_OFF = "off"
_PLAIN = "default"
LEAST_SECONDS = 20.0
"""Compiling a model that is worth it costs 10 s at the least, and rarely makes a step twice as fast: a run that
trains for less than this can't repay it."""
_RESERVE = 0.3
"""Share of a race's time that is kept for compiling where a run can repay it: nothing else gains as much there."""
_LONGER = 2.0
"""A mode is tried where so many times the longest compilation so far is left: one that searches more takes longer."""
FOR_LAUNCHES = "reduce-overhead"
"""The mode that replays a step as one graph: where steps wait for launches it comes first."""


def is_compiled(setting: Mapping[str, Scalar], *, entries: Sequence[Entry]) -> bool:
    """Whether a training with this setting compiles its step."""
    return in_setting(setting, COMPILE, entries) not in (None, _OFF)


class Compiling:
    """Tries the modes of ``torch.compile`` on the incumbent, and says whether a run repays them.

    Args:
        plan: The knobs, and the race's time.
        costs: Does the sums of slow starts.
    """

    def __init__(self, plan: RacePlan, *, costs: Costs) -> None:
        self._plan = plan
        self._costs = costs
        self._tried: list[dict[str, Scalar]] = []
        self.is_run_too_short = False
        """Compiling is not tried, for no run could repay it."""
        self._entry = next((entry for entry in plan.entries if entry.name == COMPILE), None)

    def reserve(self, incumbent: Contestant) -> float:
        """Seconds of the race to keep for compiling; 0 where it is not to be tried."""
        if self._entry is None:
            return 0.0
        self.is_run_too_short = self._costs.run_length(incumbent).seconds < LEAST_SECONDS
        return 0.0 if self.is_run_too_short else _RESERVE * self._plan.seconds

    @property
    def has_begun(self) -> bool:
        """At least one mode was tried."""
        return bool(self._tried)

    def can_do_away_with_launches(self, incumbent: Contestant) -> bool:
        """Whether there is a mode that replays a step as one graph, and a run is long enough to repay it."""
        return (
            self._entry is not None
            and FOR_LAUNCHES in self._entry.values
            and self._costs.run_length(incumbent).seconds >= LEAST_SECONDS
        )

    def try_modes(
        self, track: Track, *, bottleneck: Bottleneck | None, time: RaceTime, only: Scalar | None = None
    ) -> bool:
        """Screen the modes, or only one, against the incumbent; one that is faster and repays itself is adopted.

        Returns whether all were tried for which there was time.
        """
        for value in self._modes(bottleneck) if only is None else [only]:
            before = dict(track.incumbent.setting)
            setting = changed(before, COMPILE, value, entries=self._plan.entries)
            if setting is None or setting == before or setting in self._tried:
                continue
            if before.get(COMPILE) == FOR_LAUNCHES and value == _PLAIN:
                continue  # the same code, launched bit by bit again
            if time.left() <= _LONGER * time.compile_seconds:
                return False
            run = self._costs.run_length(track.incumbent)
            if run.seconds < LEAST_SECONDS:
                self.is_run_too_short = True
                length = f"a run of {run.steps:,} steps trains for {run.seconds:.1f} s, which compiling can't repay"
                track.skip("compile", setting, reason=length if run.steps else "nobody knows how many steps a run has")
                continue
            self.heat("compile", setting, track=track, time=time)
        return True

    def heat(
        self,
        stage: HeatStage,
        setting: Mapping[str, Scalar],
        *,
        track: Track,
        time: RaceTime,
        objection: Objection | None = None,
    ) -> Finish | None:
        """Run a heat of a setting that compiles its step, which is adopted where it is faster and repays itself.

        See ``Track.heat``.
        """

        def object_to(incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> str | None:
            against = self._object_to_cost(incumbent, challenger, comparison)
            return objection.ask(incumbent, challenger, comparison) if against is None and objection else against

        left = time.left()
        self._tried.append(dict(setting))
        finish = track.heat(
            stage,
            setting,
            objection=Objection(object_to, num_starts=objection.num_starts if objection else 0),
            may_adopt=True,
        )
        time.note_compiling(left - time.left())
        return finish

    def _modes(self, bottleneck: Bottleneck | None) -> list[Scalar]:
        """The modes that are raced; where steps wait for launches, the one that replays them comes first."""
        modes = [value for value in self._entry.values if value != _OFF] if self._entry is not None else []
        return sorted(modes, key=lambda mode: mode != FOR_LAUNCHES) if bottleneck == "launch" else modes

    def _object_to_cost(self, incumbent: Contestant, challenger: Contestant, comparison: Comparison) -> str | None:
        """Why a faster challenger is not kept: no run repays its compilation; None where one does."""
        even = self._costs.of(COMPILE, incumbent, challenger, comparison)
        assert even is not None, "it is faster, or nobody would ask"
        self._costs.break_evens.append(even)
        return None if even.was_repaid else f"faster, but {unpaid_words(even, what='compiling')}"
