"""Diagnosing: what the setting to beat waits for, looked for again whenever that may have changed."""

from collections.abc import Callable
from functools import partial

from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.measuring.bottleneck import Diagnosis, HalfBatchError, diagnose
from autotune.speed.racing.heats.track import Track
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race_time import RaceTime
from autotune.speed.racing.stages.launching import is_fast_as_a_whole


class Diagnosing:
    """Finds the bottleneck of the baseline, and of each incumbent after it.

    Args:
        track: Has the setting to beat.
        plan: Says how long is measured.
        on_diagnosis: Hears of each diagnosis.
        time: The race's.
    """

    def __init__(
        self, track: Track, plan: RacePlan, *, on_diagnosis: Callable[[Diagnosis], None], time: RaceTime
    ) -> None:
        self._track = track
        self._plan = plan
        self._time = time
        self._on_diagnosis = on_diagnosis
        self._all: list[Diagnosis] = []
        self._can_be_halved = True
        """No step of half a batch has lost a contestant."""

    @property
    def all(self) -> tuple[Diagnosis, ...]:
        """Every diagnosis so far, the baseline's first."""
        return tuple(self._all)

    @property
    def newest(self) -> Diagnosis | None:
        """The last diagnosis; None where there is none: every knob may be the right one then."""
        return self._all[-1] if self._all else None

    @property
    def has_begun(self) -> bool:
        """The baseline was measured, so that the race has something to say."""
        return bool(self._all or self._track.heats.all)

    def look(self) -> None:
        """Diagnose the incumbent; one that is lost over it enters anew, or the baseline in its stead.

        Raises:
            ContestantLostError: Neither can be trained with, or the baseline was never measured.
        """
        try:
            diagnosis = self._find_bottleneck()
        except ContestantLostError as error:
            if error.kind == "unsupported" and not self._track.incumbent.is_retired:
                return  # a step function of one's own has its own batches: every knob is screened
            if not self.has_begun:
                raise
            self._track.rescue(error)
            return
        self._all.append(diagnosis)
        self._track.incumbency.note_step(diagnosis.real_seconds)
        self._on_diagnosis(diagnosis)

    def _find_bottleneck(self) -> Diagnosis:
        """The incumbent's bottleneck, without half a batch where its step has once been lost on one.

        Raises:
            ContestantLostError: The incumbent is lost.
        """
        pace = self._plan.pace
        is_fast = is_fast_as_a_whole(self._track.setting, entries=self._plan.entries)
        find = partial(diagnose, seconds=pace.block_seconds, min_steps=pace.min_steps, clock=lambda: self._time.spent)
        try:
            return find(self._track.incumbent, is_halved=self._can_be_halved and not is_fast)
        except HalfBatchError:
            self._can_be_halved = False
            self._track.restore()
            return find(self._track.incumbent, is_halved=False)
