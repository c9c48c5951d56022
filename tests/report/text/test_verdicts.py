import math
from typing import Literal

import pytest

from autotune.proof.quantities import Quantity
from autotune.proof.verdict import Conclusion, Verdict
from autotune.report.text.verdicts import effect, sentence, verdict_lines

INFINITE = math.inf


@pytest.mark.parametrize(
    ("kind", "low", "high", "told"),
    [
        ("ratio", 1.2, 1.8, "1.5x [1.2x, 1.8x]"),
        ("ratio", 1.2, INFINITE, "1.5x [1.2x, infx]"),
        ("ratio", 0.0, INFINITE, "1.5x"),
        ("ratio", 0.002, 1200.0, "too noisy to tell apart"),
        ("difference", 1.2, 1.8, "+1.5 [+1.2, +1.8]"),
        ("difference", -INFINITE, INFINITE, "+1.5"),
    ],
)
def test_an_effect_names_its_interval_where_it_has_bounds(
    kind: Literal["ratio", "difference"], low: float, high: float, told: str
) -> None:
    quantity = Quantity(
        name="val_loss",
        kind=kind,
        winner=3.0,
        reference=2.0,
        value=1.5,
        low=low,
        high=high,
        is_more_better=True,
        finding="better",
    )
    assert effect(quantity) == told


@pytest.mark.parametrize(
    ("conclusion", "told"),
    [
        ("too few trainings", "too few trainings to tell trial 4 from the baseline; {} trains more"),
        ("no significant gain", "keep the baseline: no significant gain of trial 4; {} would see a smaller one"),
    ],
)
def test_verdict_that_more_trainings_may_change_says_how_to_have_them(conclusion: Conclusion, told: str) -> None:
    verdict = _verdict(conclusion, num_trainings=1)
    assert sentence(verdict) == told.format("`autotune study confirm mnist --repeats 5`")


@pytest.mark.parametrize(
    ("reference_rate", "told"),
    [
        (0.0, "; 4 of 5 at the target against 0 of 5 may be chance, {} 7` would be sure if it goes on so"),
        (0.2, "; 4 of 5 at the target against 1 of 5 may be chance, {} 10` would tell more"),
        (0.8, ""),
    ],
)
def test_verdict_on_shares_that_may_be_chance_says_how_many_trainings_would_tell(
    reference_rate: float, told: str
) -> None:
    time = Quantity(
        name="seconds_to_target",
        kind="ratio",
        winner=10.0,
        reference=INFINITE,
        value=0.0,
        low=0.0,
        high=INFINITE,
        is_more_better=False,
        finding="no difference",
    )
    verdict = _verdict("no significant gain", num_trainings=5).model_copy(
        update={
            "target": "val_accuracy at least 0.97",
            "quantities": (time,),
            "num_wanted": 5,
            "confidence": 0.96,
            "winner_success_rate": 0.8,
            "reference_success_rate": reference_rate,
        }
    )
    command = "`autotune study confirm mnist --repeats"
    assert sentence(verdict) == f"keep the baseline: no significant gain of trial 4{told.format(command)}"


def test_one_training_is_told_as_one() -> None:
    lines = verdict_lines(_verdict("too few trainings", num_trainings=1))
    assert lines[1].startswith("  1 training of trial 4, 1 of the baseline, on fresh seeds")


def _verdict(conclusion: Conclusion, *, num_trainings: int) -> Verdict:
    return Verdict(
        study="mnist",
        metric="val_accuracy",
        winner=4,
        is_best=True,
        reference=0,
        is_against_baseline=True,
        target=None,
        num_winner=num_trainings,
        num_reference=num_trainings,
        num_wanted=3,
        winner_success_rate=1.0,
        reference_success_rate=1.0,
        num_winner_failed=0,
        num_reference_failed=0,
        quantities=(),
        conclusion=conclusion,
        decided_by="objective",
        advice="train more",
        search_value=0.9,
        optimism=0.0,
        spent_seconds=60.0,
        saved_seconds=None,
        break_even_trainings=None,
    )
