import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from autotune.events import Outcome, Scalar
from autotune.recording.ranking import rank_configurations, rank_trials
from autotune.spec.model import Objective

MAXIMIZE = Objective(metric="val_accuracy", direction="maximize")
MINIMIZE = Objective(metric="val_loss", direction="minimize")


@dataclass(frozen=True)
class Ended:
    number: int
    values: tuple[float, ...] | None
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    outcome: str = Outcome.COMPLETE
    origin: str | None = None


@pytest.mark.parametrize(("objective", "order"), [(MAXIMIZE, [1, 0, 2]), (MINIMIZE, [2, 0, 1])])
def test_best_trial_comes_first(objective: Objective, order: list[int]) -> None:
    trials = [Ended(0, (0.5,)), Ended(1, (0.9,)), Ended(2, (0.1,))]
    assert [trial.number for trial in rank_trials(trials, objective=objective)] == order


@pytest.mark.parametrize("objective", [MAXIMIZE, MINIMIZE])
def test_lower_number_comes_first_of_two_equals(objective: Objective) -> None:
    trials = [Ended(2, (0.5,)), Ended(1, (0.5,))]
    assert [trial.number for trial in rank_trials(trials, objective=objective)] == [1, 2]


@pytest.mark.parametrize(
    "trial",
    [
        Ended(0, None),
        Ended(0, (0.5,), outcome=Outcome.PRUNED),
        Ended(0, (0.5,), origin="other/3"),
        Ended(0, (math.nan,)),
        Ended(0, (0.5, math.inf)),
    ],
)
def test_only_own_complete_trials_with_finite_values_are_ranked(trial: Ended) -> None:
    assert rank_trials([trial], objective=MAXIMIZE) == ()


def test_configuration_that_was_proposed_twice_is_ranked_once() -> None:
    trials = [Ended(0, (0.5,), {"lr": 0.1}), Ended(1, (0.7,), {"lr": 0.1}), Ended(2, (0.6,), {"lr": 0.2})]
    assert [trial.number for trial in rank_configurations(trials, objective=MAXIMIZE)] == [1, 2]
