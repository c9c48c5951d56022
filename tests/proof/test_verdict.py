import dataclasses
import json
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest

from autotune.events import Outcome
from autotune.goals import Target
from autotune.proof.quantities import SECONDS_TO_TARGET, Case
from autotune.proof.trainings import Training
from autotune.proof.verdict import Conclusion, judge

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
PLAIN = dataclasses.replace(TIMED, metric="val_accuracy", is_more_better=True, search_value=0.95)


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


def hits(num_won: int, *, of: int) -> list[Training]:
    """Trainings of which so many came to the target, and are alike in all else."""
    seconds = [10.0 + step / 100 for step in range(num_won)] + [math.inf] * (of - num_won)
    return side(seconds, finals=[0.9 + step / 1000 for step in range(of)], rates=[1000.0 + step for step in range(of)])


def failed_training() -> Training:
    return Training(
        trial=7,
        outcome=Outcome.DIVERGED,
        value=None,
        final=None,
        seconds_to_target=math.inf,
        samples_per_second=None,
        peak_memory_bytes=None,
        seconds=None,
    )


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


@pytest.mark.parametrize(("num_won", "count", "num_that_tells"), [(4, 5, 7), (3, 5, 9), (2, 3, 8), (1, 5, None)])
def test_verdict_on_a_target_that_the_winner_alone_came_to_knows_how_many_would_be_sure(
    num_won: int, count: int, num_that_tells: int | None
) -> None:
    verdict = judge(
        dataclasses.replace(TIMED, num_wanted=count), winners=hits(num_won, of=count), references=hits(0, of=count)
    )
    assert not verdict.is_decided
    assert verdict.num_that_tells == num_that_tells


@pytest.mark.parametrize(("num_won", "count"), [(5, 7), (5, 9), (5, 8)])
def test_so_many_trainings_are_sure_and_with_one_hit_fewer_they_are_not(num_won: int, count: int) -> None:
    """At the winner's share, rounded down: 4 of 5, 3 of 5 and 2 of 3."""
    case = dataclasses.replace(TIMED, num_wanted=count)
    assert judge(case, winners=hits(num_won, of=count), references=hits(0, of=count)).conclusion == "better"
    missed = judge(case, winners=hits(num_won - 1, of=count), references=hits(0, of=count))
    assert missed.conclusion == "no significant gain"


def test_reference_that_came_to_the_target_leaves_it_to_the_times() -> None:
    verdict = judge(TIMED, winners=hits(4, of=5), references=hits(1, of=5))
    assert verdict.may_be_more_often
    assert verdict.num_that_tells is None
    assert not judge(TIMED, winners=hits(1, of=5), references=hits(4, of=5)).may_be_more_often


def test_winner_that_fails_more_often_is_no_gain_however_good_the_rest_is() -> None:
    good = side(finals=[0.95, 0.951, 0.949, 0.95, 0.95], case=PLAIN)

    verdict = judge(PLAIN, winners=[*good[:4], failed_training()], references=side(case=PLAIN))

    assert verdict.quantities[0].finding == "better"
    assert verdict.conclusion == "no significant gain"


def test_look_before_all_trainings_are_there_is_surer_than_the_last() -> None:
    early = judge(TIMED, winners=side(scaled(0.8))[:3], references=side()[:3])
    last = judge(TIMED, winners=side(scaled(0.8)), references=side())
    only = judge(dataclasses.replace(TIMED, num_wanted=3), winners=side(scaled(0.8))[:3], references=side()[:3])

    assert (early.confidence, last.confidence, only.confidence) == pytest.approx((0.99, 0.96, 0.95))


def test_worse_winner_that_is_faster_repays_nothing() -> None:
    rates = [1500.0, 1510.0, 1490.0, 1500.0, 1505.0]
    finals = [0.8, 0.801, 0.799, 0.8, 0.8]

    verdict = judge(
        PLAIN, winners=side(scaled(0.5), finals=finals, rates=rates, case=PLAIN), references=side(case=PLAIN)
    )

    assert (verdict.conclusion, verdict.break_even_trainings) == ("worse", None)


def test_several_winners_each_have_to_be_surer() -> None:
    alone = judge(TIMED, winners=side(scaled(0.8)), references=side())
    of_three = judge(dataclasses.replace(TIMED, num_winners=3), winners=side(scaled(0.8)), references=side())

    assert of_three.confidence > alone.confidence
    assert of_three.quantities[0].high > alone.quantities[0].high


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("seconds", [[math.inf] * 5, [10.0] * 5])
def test_verdict_as_json_has_no_infinity(seconds: Sequence[float], count: int) -> None:
    verdict = judge(TIMED, winners=side(seconds)[:count], references=side([math.inf] * 5)[:count])

    text = verdict.model_dump_json()

    assert not {"Infinity", "-Infinity", "NaN"} & set(re.findall(r"[-A-Za-z]+", text))
    assert json.loads(text)["quantities"][0]["reference"] is None


def test_values_that_are_equal_in_a_coarse_metric_are_not_surely_different() -> None:
    winners, references = side(finals=[0.97] * 5, case=PLAIN)[:3], side(finals=[0.96] * 5, case=PLAIN)[:3]

    verdict = judge(PLAIN, winners=winners, references=references)

    assert verdict.conclusion == "no significant gain"
    assert verdict.quantities[0].step == pytest.approx(0.01)


def test_equal_values_are_surely_different_by_many_steps_of_the_metric() -> None:
    winners, references = side(finals=[0.97] * 5, case=PLAIN)[:3], side(finals=[0.90] * 5, case=PLAIN)[:3]
    case = dataclasses.replace(PLAIN, seen=(0.5, 0.51, 0.8))

    assert judge(case, winners=winners, references=references).conclusion == "better"


@pytest.mark.parametrize("final", [math.nan, math.inf])
def test_training_whose_metric_is_no_number_is_a_failure(final: float) -> None:
    winners = side(finals=[0.95, 0.951, 0.949, 0.95, final], case=PLAIN)

    verdict = judge(PLAIN, winners=winners, references=side(case=PLAIN))

    assert verdict.quantities[0].winner == pytest.approx(0.95)
    assert (verdict.num_winner_failed, verdict.winner_success_rate) == (1, 0.8)
    assert (verdict.conclusion, verdict.decided_by) == ("no significant gain", "failures")


@pytest.mark.parametrize(("num_kept", "conclusion"), [(0, "better"), (1, "too few trainings")])
def test_reference_that_never_ends_is_surely_worse(num_kept: int, conclusion: str) -> None:
    references = [*side(case=PLAIN)[:num_kept], *[failed_training()] * (5 - num_kept)]

    verdict = judge(PLAIN, winners=side(case=PLAIN), references=references)

    assert verdict.conclusion == conclusion  # by Fisher's test, p = 0.008 and 0.048


def test_winner_that_never_ends_is_worse() -> None:
    verdict = judge(PLAIN, winners=[failed_training()] * 5, references=side(case=PLAIN))

    assert (verdict.conclusion, verdict.advice) == ("worse", "keep the reference")
    assert verdict.decided_by == "failures"


def draw(generator: np.random.Generator, *, count: int, gain: float) -> tuple[list[Training], list[Training]]:
    """Two sides of a synthetic task: 3 % noise on times and throughputs, and the winner faster by ``gain``."""
    sides = []
    for factor in (1 / (1 + gain), 1.0):
        times = 10 * factor * np.exp(generator.normal(0, 0.03, count))
        rates = 1000 / factor * np.exp(generator.normal(0, 0.03, count))
        finals = generator.normal(0.9, 0.01, count)
        sides.append(side(times.tolist(), finals=finals.tolist(), rates=rates.tolist()))
    return sides[0], sides[1]


def conclude(case: Case, sides: tuple[list[Training], list[Training]]) -> Conclusion:
    """As a study ends: after three trainings a side, and as long as nothing is sure, up to five."""
    verdicts = (judge(case, winners=sides[0][:count], references=sides[1][:count]) for count in (3, 4))
    early = next((verdict for verdict in verdicts if verdict.is_decided), None)
    return (early or judge(case, winners=sides[0], references=sides[1])).conclusion


@pytest.mark.parametrize("case", [TIMED, PLAIN], ids=["time", "metric"])
def test_equal_configurations_are_called_different_in_at_most_five_of_a_hundred(case: Case) -> None:
    generator = np.random.default_rng(1)
    num_studies = 500

    conclusions = [conclude(case, draw(generator, count=5, gain=0.0)) for _ in range(num_studies)]

    different = sum(conclusion in {"better", "worse", "faster"} for conclusion in conclusions)
    assert different / num_studies <= 0.05


def test_equal_configurations_of_a_coarse_metric_are_called_different_in_at_most_five_of_a_hundred() -> None:
    generator = np.random.default_rng(3)
    num_studies = 300

    different = 0
    for _ in range(num_studies):
        finals = np.round(generator.normal(0.9, 0.006, (2, 5)), 2).tolist()
        sides = side(finals=finals[0], case=PLAIN), side(finals=finals[1], case=PLAIN)
        different += conclude(PLAIN, sides) != "no significant gain"

    assert different / num_studies <= 0.05


def test_true_gain_of_ten_percent_is_found_in_ninety_of_a_hundred() -> None:
    generator = np.random.default_rng(2)
    num_studies = 300

    found = sum(conclude(TIMED, draw(generator, count=5, gain=0.1)) == "better" for _ in range(num_studies))

    assert found / num_studies >= 0.9


@pytest.mark.parametrize(("mebibytes", "finding"), [(353, "no difference"), (380, "worse")])
def test_memory_that_surely_differs_by_less_than_a_hundredth_is_no_difference(mebibytes: int, finding: str) -> None:
    winners = [dataclasses.replace(training, peak_memory_bytes=mebibytes * 2**20) for training in side()]
    references = [dataclasses.replace(training, peak_memory_bytes=352 * 2**20) for training in side()]
    verdict = judge(TIMED, winners=winners, references=references)
    (memory,) = [quantity for quantity in verdict.quantities if quantity.name == "peak_memory_bytes"]
    assert memory.finding == finding
