from collections.abc import Sequence

import numpy as np
import pytest

from autotune.proof.ablation import Ablation, Values, weigh

BASELINE = (0.5, 0.501, 0.499)
WINNER = (0.9, 0.901, 0.899)


def weighed(*, lr: Values, width: Values, baseline: Values = BASELINE, is_more_better: bool = True) -> Ablation:
    return weigh(
        "val_accuracy",
        winner=7,
        is_more_better=is_more_better,
        values=WINNER,
        baseline=baseline,
        without={("width",): width, ("lr", "momentum"): lr},
    )


def test_change_is_worth_what_is_lost_without_it() -> None:
    ablation = weighed(lr=(0.6, 0.601, 0.599), width=WINNER)

    lr, width = ablation.parts
    assert lr.names == ("lr", "momentum")
    assert lr.gain == pytest.approx(0.3)
    assert lr.share == pytest.approx(0.75)
    assert lr.low < 0.3 < lr.high
    assert (lr.is_sure, width.is_sure) == (True, False)


def test_change_without_which_it_is_worse_in_a_metric_to_minimise_comes_first() -> None:
    ablation = weighed(lr=(0.95, 0.951, 0.949), width=(0.89, 0.891, 0.889), is_more_better=False)

    assert [part.names[0] for part in ablation.parts] == ["lr", "width"]
    assert ablation.parts[0].gain == pytest.approx(-0.05)


def test_change_without_which_no_training_gives_a_value_comes_first() -> None:
    ablation = weighed(lr=(None, float("nan"), None), width=(0.8, None, 0.8))

    lr, width = ablation.parts
    assert (lr.gain, lr.num_failed, lr.share) == (None, 3, None)
    assert width.gain == pytest.approx(0.1)
    assert (width.num_failed, width.is_sure) == (1, False)


def test_mean_that_lacks_trainings_is_no_evidence_against_the_other_side() -> None:
    lost = (None, None)
    better, worse = (0.95, 0.951, 0.949, *lost), (0.6, 0.601, 0.599, *lost)

    ablation = weighed(lr=worse, width=better)

    lr, width = ablation.parts
    assert (lr.is_sure, lr.share) == (True, None)
    assert (width.is_sure, width.share) == (False, None)
    assert width.gain is not None
    assert width.high < 0


def test_winner_that_misses_is_not_surely_better() -> None:
    part = weigh(
        "time",
        winner=7,
        is_more_better=False,
        values=(1.0, 1.01, 0.99, None),
        baseline=(2.0, 2.01, 1.99),
        without={("lr",): (2.0, 2.01, 1.99)},
    )
    assert (part.num_failed, part.whole.is_sure, part.parts[0].is_sure) == (1, False, False)


def test_share_of_a_whole_that_is_not_sure_is_not_told() -> None:
    ablation = weighed(lr=(0.6, 0.601, 0.599), width=WINNER, baseline=(0.2, 0.9, 1.6))

    assert not ablation.whole.is_sure
    assert [part.share for part in ablation.parts] == [None, None]


def test_ablation_as_json_has_no_infinity() -> None:
    assert "Infinity" not in weighed(lr=(0.6,), width=()).model_dump_json()


@pytest.mark.parametrize("repeats", [3, 5])
@pytest.mark.parametrize("num_changes", [1, 6])
def test_of_changes_that_do_nothing_one_is_named_in_five_of_a_hundred_ablations_at_most(
    *, repeats: int, num_changes: int
) -> None:
    generator = np.random.default_rng(3)
    num_ablations = 300

    named = sum(
        any(part.is_sure for part in synthetic(generator, effects=[0.0] * num_changes, repeats=repeats).parts)
        for _ in range(num_ablations)
    )

    assert named / num_ablations <= 0.05


def test_strong_effect_among_changes_that_do_nothing_is_found_in_ninety_of_a_hundred_ablations() -> None:
    generator = np.random.default_rng(3)
    ablations = [synthetic(generator, effects=[0.1, 0, 0, 0, 0, 0], repeats=3) for _ in range(100)]

    found = [part.is_sure for ablation in ablations if (part := ablation.part_of("p0")) is not None]

    assert sum(found) >= 90


def synthetic(generator: np.random.Generator, *, effects: Sequence[float], repeats: int) -> Ablation:
    """An ablation of changes of known worth, with a noise of 0.01."""

    def drawn(mean: float) -> list[float]:
        return list(map(float, generator.normal(mean, 0.01, repeats)))

    return weigh(
        "val_accuracy",
        winner=7,
        is_more_better=True,
        values=drawn(0.9),
        baseline=drawn(0.9 - sum(effects)),
        without={(f"p{place}",): drawn(0.9 - effect) for place, effect in enumerate(effects)},
    )
