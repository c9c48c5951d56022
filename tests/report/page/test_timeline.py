import pytest

from autotune.report.page.timeline import Timeline


def test_pauses_between_two_starts_do_not_count() -> None:
    timeline = Timeline(((100.0, 200.0), (1000.0, 1010.0)), 110.0)
    assert timeline.busy_until(150.0) == 50.0
    assert timeline.busy_until(900.0) == 100.0
    assert timeline.busy_until(1005.0) == pytest.approx(105.0)
