import math
from collections.abc import Sequence

import numpy as np
import pytest

from autotune.events import Outcome
from autotune.goals import Target
from autotune.proof.quantities import SECONDS_TO_TARGET, Case
from autotune.proof.trainings import Training
from autotune.proof.verdict import Verdict, judge

TARGET = Target(metric="val_accuracy", bound=0.9, is_at_least=True)
TIMED = Case(
    study="made",
    metric=TARGET.objective,
    is_more_better=False,
    compared="val_accuracy",
    is_more_of_compared_better=True,
    target=TARGET,
    winner=7,
    is_best=True,
    reference=0,
    is_against_baseline=True,
    num_wanted=5,
    search_value=9.0,
    spent_seconds=100.0,
)
PLAIN = Case(**{**TIMED.__dict__, "metric": "val_accuracy", "is_more_better": True, "search_value": 0.95})


def side(
    seconds: Sequence[float] = (10.0, 10.1, 9.9, 10.0, 10.0),
    *,
    finals: Sequence[float] = (0.9, 0.901, 0.899, 0.9, 0.9),
    rates: Sequence[float] = (1000.0, 1010.0, 990.0, 1000.0, 1005.0),
    outcome: Outcome = Outcome.COMPLETE,
    case: Case = TIMED,
) -> list[Training]:
    return [
        Training(
            trial=7,
            outcome=outcome,
            value=time if case is TIMED else final,
            final=final,
            seconds_to_target=time,
            samples_per_second=rate,
            peak_memory_bytes=1000,
            seconds=time,
        )
        for time, final, rate in zip(seconds, finals, rates, strict=True)
    ]


def scaled(ratio: float) -> list[float]:
    return [ratio * value for value in (10.0, 10.1, 9.9, 10.0, 10.0)]


def test_surely_faster_winner_is_taken_and_pays_for_the_search() -> None:
    verdict = judge(TIMED, winners=side(scaled(0.8)), references=side())

    assert (verdict.conclusion, verdict.advice) == ("better", "take the winner")
    assert verdict.quantities[0].name == SECONDS_TO_TARGET
    assert verdict.saved_seconds == pytest.approx(2.0)
    assert verdict.break_even_trainings == 50


def test_optimism_is_how_much_luck_the_search_had() -> None:
    verdict = judge(TIMED, winners=side(scaled(1.0)), references=side())

    assert verdict.optimism == pytest.approx(1.0)  # 9 seconds in the search, 10 on fresh seeds


def test_equal_sides_keep_the_baseline_and_never_repay_the_search() -> None:
    verdict = judge(PLAIN, winners=side(case=PLAIN), references=side(case=PLAIN))

    assert (verdict.conclusion, verdict.advice) == ("no significant gain", "keep the reference")
    assert verdict.break_even_trainings is None


def test_as_good_a_metric_at_a_higher_throughput_is_faster() -> None:
    rates = [1500.0, 1510.0, 1490.0, 1500.0, 1505.0]

    verdict = judge(PLAIN, winners=side(rates=rates, case=PLAIN), references=side(case=PLAIN))

    assert (verdict.conclusion, verdict.advice) == ("faster", "take the winner")


def test_worse_winner_is_called_so() -> None:
    verdict = judge(TIMED, winners=side(scaled(1.3)), references=side())

    assert (verdict.conclusion, verdict.advice) == ("worse", "keep the reference")


def test_misses_of_three_against_three_are_too_few_to_tell() -> None:
    never = [math.inf] * 3

    verdict = judge(TIMED, winners=side()[:3], references=side(never, finals=[0.8] * 3, rates=[1000.0] * 3))

    assert (verdict.conclusion, verdict.advice) == ("too few trainings", "train more")
    assert (verdict.winner_success_rate, verdict.reference_success_rate) == (1.0, 0.0)


def test_winner_that_fails_more_often_is_no_gain_however_good_the_rest_is() -> None:
    good = side(finals=[0.95, 0.951, 0.949, 0.95, 0.95], case=PLAIN)
    failed = Training(
        trial=7,
        outcome=Outcome.DIVERGED,
        value=None,
        final=None,
        seconds_to_target=math.inf,
        samples_per_second=None,
        peak_memory_bytes=None,
        seconds=None,
    )

    verdict = judge(PLAIN, winners=[*good[:4], failed], references=side(case=PLAIN))

    assert verdict.quantities[0].finding == "better"
    assert verdict.conclusion == "no significant gain"


def test_several_winners_each_have_to_be_surer() -> None:
    alone = judge(TIMED, winners=side(scaled(0.8)), references=side())
    of_three = judge(Case(**{**TIMED.__dict__, "num_winners": 3}), winners=side(scaled(0.8)), references=side())

    assert of_three.confidence > alone.confidence
    assert of_three.quantities[0].high > alone.quantities[0].high


def test_verdict_survives_json_with_its_infinities() -> None:
    verdict = judge(TIMED, winners=side([math.inf] * 5), references=side())

    assert Verdict.model_validate_json(verdict.model_dump_json()).quantities[0].winner == math.inf


def draw(generator: np.random.Generator, *, count: int, gain: float) -> tuple[list[Training], list[Training]]:
    """Two sides of a synthetic task: 3 % noise on times and throughputs, and the winner faster by ``gain``."""
    sides = []
    for factor in (1 / (1 + gain), 1.0):
        times = 10 * factor * np.exp(generator.normal(0, 0.03, count))
        rates = 1000 / factor * np.exp(generator.normal(0, 0.03, count))
        finals = generator.normal(0.9, 0.01, count)
        sides.append(side(times.tolist(), finals=finals.tolist(), rates=rates.tolist()))
    return sides[0], sides[1]


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("case", [TIMED, PLAIN], ids=["time", "metric"])
def test_equal_configurations_are_called_different_in_at_most_five_of_a_hundred(case: Case, count: int) -> None:
    generator = np.random.default_rng(1)
    num_studies = 400

    drawn = [draw(generator, count=count, gain=0.0) for _ in range(num_studies)]
    conclusions = [judge(case, winners=w, references=r).conclusion for w, r in drawn]

    different = sum(conclusion in {"better", "worse", "faster"} for conclusion in conclusions)
    assert different / num_studies <= 0.05


@pytest.mark.parametrize("count", [4, 5])
def test_true_gain_of_ten_percent_is_found_in_ninety_of_a_hundred(count: int) -> None:
    generator = np.random.default_rng(2)
    num_studies = 300

    drawn = [draw(generator, count=count, gain=0.1) for _ in range(num_studies)]
    found = sum(judge(TIMED, winners=w, references=r).conclusion == "better" for w, r in drawn)

    assert found / num_studies >= 0.9
