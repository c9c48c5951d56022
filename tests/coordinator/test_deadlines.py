import pytest

from autotune.coordinator.deadlines import Pulse, overdue
from autotune.spec.model import Deadlines


def pulse(*, heard_at: float = 0.0, **fields: float | bool) -> Pulse:
    return Pulse(launched_at=0.0, heard_at=heard_at, **fields)  # type: ignore[arg-type]


def test_longest_silence_is_remembered() -> None:
    seen = pulse()
    for now in (1.0, 8.0, 9.0):
        seen.heard(now)
    assert (seen.longest_seconds, seen.heard_at) == (7.0, 9.0)


@pytest.mark.parametrize(
    ("longest", "has_reported", "limit"),
    [(30.0, True, 600.0), (0.3, True, 300.0), (1000.0, True, 3600.0), (30.0, False, 3600.0)],
)
def test_silence_may_be_many_times_the_longest_before_within_bounds(
    longest: float, limit: float, *, has_reported: bool
) -> None:
    seen = pulse(longest_seconds=longest, has_progressed=True, has_reported=has_reported)
    assert overdue(seen, Deadlines(), now=limit - 1) is None
    assert f"no sign of life for {limit:.0f} s" in str(overdue(seen, Deadlines(), now=limit))


def test_loop_that_never_tells_its_progress_may_be_silent_unless_the_spec_says_how_long() -> None:
    assert overdue(pulse(), Deadlines(), now=1e6) is None
    assert "raise deadlines.silence_seconds" in str(overdue(pulse(), Deadlines(silence_seconds=5.0), now=5.0))


def test_trial_may_take_as_long_as_the_spec_says_however_lively_it_is() -> None:
    lively = pulse(heard_at=99.0, has_progressed=True, has_reported=True)
    assert overdue(lively, Deadlines(trial_seconds=100.0), now=99.5) is None
    assert "longer than deadlines.trial_seconds, 100 s" in str(
        overdue(lively, Deadlines(trial_seconds=100.0), now=100.0)
    )
