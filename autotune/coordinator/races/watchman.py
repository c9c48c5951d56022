"""Beside a race in a study: its time, which the study pays as it passes."""

from collections.abc import Callable

from autotune.coordinator.speeds import Floor, RaceEndedError
from autotune.coordinator.standing import Standing
from autotune.outages import waited_seconds
from autotune.recording.rows import Activity

_CHARGE_SECONDS = 5.0
"""A running race is charged to the study this often, so that it is paid for whatever becomes of the coordinator."""
OVERRUN = 2.0
"""A race looks at the clock between heats, and one heat can be long: beyond so many times its seconds it is ended.
Of its starts none takes so long (``RacePlan.overrun``)."""


class Watchman:
    """Pays for a race while contestants are waited for, and ends one that takes far too long.

    What the database was waited for in the race is charged to nobody, and no reason to end it.

    Args:
        charge: Takes the seconds that are to be charged.
        standing: The study's clock.
        floor: Is waited on.
        seconds: What the race may take.
    """

    def __init__(self, charge: Callable[[float], None], standing: Standing, floor: Floor, *, seconds: float) -> None:
        self.seconds = seconds
        """Seconds that the race may take."""
        self._charge = charge
        self._standing = standing
        self._floor = floor
        self._began = standing.elapsed_seconds - waited_seconds()
        """When the race began, by the study's clock without what was waited for."""
        self._tallied_seconds = 0.0
        self._charged_seconds = 0.0

    def check(self) -> None:
        """Called again and again while a race runs.

        Raises:
            RaceEndedError: It took twice its time, or the study is to end.
        """
        self._tally()
        self._floor.on_wait(self._ends_at)
        self._tally()
        if self._tallied_seconds - self._charged_seconds >= _CHARGE_SECONDS:
            self.charge()
        if self._tallied_seconds > OVERRUN * self.seconds:
            raise RaceEndedError(f"it took {OVERRUN:g} times its {self.seconds:.0f} s")

    @property
    def spent_seconds(self) -> float:
        """Seconds that the race took so far."""
        self._tally()
        return self._tallied_seconds

    def charge(self) -> None:
        """Charge the study what the race took since the last time."""
        self._tally()
        self._charge(self._tallied_seconds - self._charged_seconds)
        self._charged_seconds = self._tallied_seconds

    def activity(self, line: str) -> Activity:
        """The race, as those hear of it who watch the study from elsewhere."""
        self._tally()
        return Activity(line, trial_seconds=self._standing.trial_seconds, ends_at=self._ends_at)

    @property
    def _ends_at(self) -> float:
        """The study's elapsed seconds at which the race has used up its time."""
        return self._began + self.seconds + waited_seconds()

    def _tally(self) -> None:
        """Add what passed since the last time to what the study's races took."""
        took = self._standing.elapsed_seconds - waited_seconds() - self._began
        self._standing.speed_seconds += took - self._tallied_seconds
        self._tallied_seconds = took
