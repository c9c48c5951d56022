"""When a trial hangs: it has said nothing for too long, or has taken longer than a trial may."""

from dataclasses import dataclass

from autotune.spec.model import Deadlines

MOST_SILENCE_SECONDS = 3600.0
"""The longest silence that is allowed: a training trial reports progress four times a second, but evaluation and
compilation are silent."""
_LEAST_SILENCE_SECONDS = 300.0
_TIMES_ITS_LONGEST = 20.0
"""A silence this many times as long as the longest so far is a hang. After one reported epoch every kind of silence
has been seen once; a busy machine may stretch it."""


@dataclass
class Pulse:
    """The signs of life of one process of a trial, on the coordinator's monotonic clock."""

    launched_at: float
    heard_at: float
    longest_seconds: float = 0.0
    """The longest silence so far."""
    has_progressed: bool = False
    """The trial has reported progress at least once; a loop of the user's own may never do so."""
    has_reported: bool = False
    """This process has reported an epoch that it trained itself."""

    def heard(self, now: float) -> None:
        """Record that something has arrived from the trial at ``now``."""
        self.longest_seconds = max(self.longest_seconds, now - self.heard_at)
        self.heard_at = now


def overdue(pulse: Pulse, deadlines: Deadlines, *, now: float) -> str | None:
    """Why the trial is to be ended now; None where it has time left.

    Unless the spec sets a limit, a silence may last twenty times the longest earlier one of this
    process, at least five minutes and at most an hour. The limit is an hour until the first report, and
    there is none for a loop that never reports progress.
    """
    if deadlines.trial_seconds is not None and now - pulse.launched_at >= deadlines.trial_seconds:
        return f"it took longer than deadlines.trial_seconds, {deadlines.trial_seconds:g} s"
    silence = _most_silence(pulse, deadlines)
    if silence is None or now - pulse.heard_at < silence:
        return None
    remedy = "raise deadlines.silence_seconds if that is how long a step or an evaluation takes"
    return f"no sign of life for {silence:.0f} s; its log tells where each thread was; {remedy}"


def _most_silence(pulse: Pulse, deadlines: Deadlines) -> float | None:
    if deadlines.silence_seconds is not None:
        return deadlines.silence_seconds
    if not pulse.has_progressed:
        return None
    if not pulse.has_reported:
        return MOST_SILENCE_SECONDS
    return min(MOST_SILENCE_SECONDS, max(_LEAST_SILENCE_SECONDS, _TIMES_ITS_LONGEST * pulse.longest_seconds))
