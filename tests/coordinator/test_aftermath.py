"""What becomes of a trial whose process has ended."""

from collections.abc import Mapping

import pytest

from autotune.coordinator.aftermath import Aftermath, End, Fallback, Restart, Wait, decide_aftermath
from autotune.coordinator.exits import MAX_RESTARTS, give_up
from autotune.events import Finished, Outcome, Scalar

COMPLETE = Finished(outcome=Outcome.COMPLETE)
KILLED = Finished(outcome=Outcome.INTERRUPTED, reason="its process was killed by SIGKILL")
CROWDED = Finished(outcome=Outcome.INTERRUPTED, reason="no memory beside others", is_crowded=True)
INFEASIBLE = Finished(outcome=Outcome.INFEASIBLE, reason="no room for its cache")
WITHOUT_CACHE = {"cache": "none"}


@pytest.mark.parametrize(
    ("finished", "restarts", "fallback", "expected"),
    [
        (COMPLETE, 0, None, End(COMPLETE)),
        (CROWDED, MAX_RESTARTS, None, Wait()),
        (KILLED, MAX_RESTARTS - 1, None, Restart()),
        (KILLED, MAX_RESTARTS, None, End(give_up(KILLED))),
        (INFEASIBLE, 0, WITHOUT_CACHE, Fallback(WITHOUT_CACHE)),
        (INFEASIBLE, 0, None, End(INFEASIBLE)),
    ],
)
def test_trial_waits_goes_on_begins_anew_or_has_ended(
    finished: Finished, restarts: int, fallback: Mapping[str, Scalar] | None, expected: Aftermath
) -> None:
    assert decide_aftermath(finished, restarts=restarts, fallback=fallback, is_stopping=False) == expected


@pytest.mark.parametrize("finished", [KILLED, CROWDED])
def test_nothing_goes_on_in_a_start_that_stops(finished: Finished) -> None:
    after = decide_aftermath(finished, restarts=0, fallback=None, is_stopping=True)
    assert after == End(finished), "interrupted: the next start goes on with it"
