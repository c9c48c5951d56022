import math

import pytest

from autotune.goals import Target, grain

ACCURATE = Target(metric="val_accuracy", bound=0.97, is_at_least=True)
SMALL_LOSS = Target(metric="val_loss", bound=0.3, is_at_least=False)


@pytest.mark.parametrize(
    ("target", "value", "shortfall"),
    [
        (ACCURATE, 0.9, 0.07),
        (ACCURATE, 0.97, 0.0),
        (ACCURATE, 1.0, 0.0),
        (SMALL_LOSS, 0.5, 0.2),
        (SMALL_LOSS, 0.3, 0.0),
    ],
)
def test_shortfall_is_what_is_missing_to_the_bound(target: Target, value: float, shortfall: float) -> None:
    assert target.shortfall(value) == pytest.approx(shortfall, abs=1e-12)
    assert target.is_seen(value) is (shortfall == 0)


@pytest.mark.parametrize("target", [ACCURATE, SMALL_LOSS])
def test_nan_never_comes_to_a_target(target: Target) -> None:
    assert math.isnan(target.shortfall(math.nan))
    assert not target.is_seen(math.nan)


def test_every_epoch_is_told_and_a_thousandth_of_the_rest() -> None:
    assert grain("epochs", max_resource=5000) == 1
    assert grain("seconds", max_resource=20) == 1
    assert grain("samples", max_resource=100_000) == 100
