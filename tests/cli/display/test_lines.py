from dataclasses import replace

import pytest

from autotune.cli.display.lines import ended_line, launched_line, opened_line
from autotune.coordinator.observer import SideView
from autotune.events import Finished, Outcome
from tests.cli.display import story


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


def test_repeated_training_is_called_so_and_says_what_it_repeats() -> None:
    sides = SideView("the baseline", 1, 1, 0.5), SideView("trial 7", 0, 0, None)
    study = replace(story.view(outcomes={"complete": 1}), sides=sides)

    opened = opened_line(study)
    launched = launched_line(replace(story.trial(2), side="trial 7"))
    ended = ended_line(0, Finished(outcome=Outcome.COMPLETE), study=study, objective=0.5)

    assert opened == "study mnist: val_accuracy of the baseline, trial 7; 1 of 30 trainings so far"
    assert launched.startswith("training 2 (trial 7) starts on cpu: optimizer adam")
    assert ended == "training 0 complete, val_accuracy 0.5 (means: the baseline 0.5)"
    ended = ended_line(0, Finished(outcome=Outcome.COMPLETE), study=study, objective=0.5, side="the baseline")
    assert ended.startswith("training 0 (the baseline) complete, val_accuracy 0.5")
