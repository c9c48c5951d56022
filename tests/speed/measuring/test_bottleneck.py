"""Shares of a step's time, and what is said of them."""

import pytest

from autotune.speed.measuring.bottleneck import split


def test_half_batch_that_takes_longer_by_noise_is_said_to_take_as_long() -> None:
    assert "(half the batch takes as long; 10.1 ms a step)" in split(real=0.0101, cached=0.01, half=0.0124).words
    assert "half the batch takes 90% of the time" in split(real=0.0101, cached=0.01, half=0.009).words


@pytest.mark.parametrize(("times", "share"), [(1.0, 0.0909), (4.0, 0.2857)])
def test_share_of_the_input_grows_as_the_rest_gets_faster(times: float, share: float) -> None:
    assert split(real=0.011, cached=0.01, half=0.01).input_share_at(times) == pytest.approx(share, abs=1e-4)


def test_fetch_that_the_device_hides_is_waited_for_by_a_faster_step() -> None:
    found = split(real=0.01, cached=0.01, half=0.01, fetch=0.001)
    assert found.input_share == 0.0
    assert found.input_share_at(4.0) == pytest.approx(0.2857, abs=1e-4)
