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


def test_share_of_a_whole_that_is_not_sure_is_not_told() -> None:
    ablation = weighed(lr=(0.6, 0.601, 0.599), width=WINNER, baseline=(0.2, 0.9, 1.6))

    assert not ablation.whole.is_sure
    assert [part.share for part in ablation.parts] == [None, None]


def test_ablation_as_json_has_no_infinity() -> None:
    assert "Infinity" not in weighed(lr=(0.6,), width=()).model_dump_json()
