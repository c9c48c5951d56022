import pytest

from autotune.cli.lines import ended_line
from autotune.events import Finished, Outcome
from tests.cli import story


@pytest.mark.parametrize(
    ("finished", "line"),
    [
        (
            Finished(outcome=Outcome.PRUNED, reason="hyperband: val_accuracy 0.2 after epoch 1"),
            "trial 3 pruned: hyperband: val_accuracy 0.2 after epoch 1",
        ),
        (
            Finished(outcome=Outcome.PRUNED, reason="the study's budget of 60 s is used up"),
            "trial 3 pruned, val_accuracy 0.25: the study's budget of 60 s is used up",
        ),
        (Finished(outcome=Outcome.COMPLETE), "trial 3 complete, val_accuracy 0.25"),
    ],
)
def test_ended_trial_says_its_objective_once(finished: Finished, line: str) -> None:
    assert ended_line(3, finished, study=story.view(), objective=0.25) == line
