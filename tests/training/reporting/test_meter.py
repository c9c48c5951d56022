import itertools
import time

import pytest
import torch

from autotune.events import Progress
from autotune.training.reporting.meter import Meter


def new_meter() -> tuple[Meter, list[str], list[Progress]]:
    begun: list[str] = []
    progress: list[Progress] = []
    meter = Meter(device=torch.device("cpu"), on_first_batch=lambda: begun.append("begun"), on_progress=progress.append)
    return meter, begun, progress


BATCHES = [torch.zeros(4), torch.zeros(4), torch.zeros(2)]


def test_epoch_counts_samples_and_steps() -> None:
    meter, _, _ = new_meter()
    list(meter.watch(BATCHES, num_batches=3))
    measures = meter.close_epoch(1)
    assert [measures.samples, measures.step] == [10, 3]
    list(meter.watch(BATCHES, num_batches=3))
    assert meter.close_epoch(2).step == 6


def test_waiting_and_working_add_up_to_the_epoch() -> None:
    meter, _, _ = new_meter()
    list(meter.watch(BATCHES, num_batches=3))
    measures = meter.close_epoch(1)
    assert 0 < measures.data_wait_share < 1
    assert measures.seconds > 0
    assert measures.step_seconds_p50 is not None
    assert measures.step_seconds_p50 < measures.seconds


def test_pass_that_is_left_early_counts_what_it_saw() -> None:
    meter, _, _ = new_meter()
    for _ in meter.watch(BATCHES, num_batches=3):
        break
    measures = meter.close_epoch(1)
    assert measures.samples == 4
    assert measures.seconds > 0


def test_two_passes_before_a_report_are_one_epoch() -> None:
    meter, _, _ = new_meter()
    for _ in range(2):
        list(meter.watch(BATCHES, num_batches=3))
    assert meter.close_epoch(1).samples == 20


@pytest.mark.usefixtures("own_time")
def test_pass_that_goes_on_over_several_epochs_is_timed_in_each_of_them() -> None:
    """It had no seconds after its first epoch, and so no throughput."""
    meter, _, _ = new_meter()
    batches = meter.watch(itertools.repeat(torch.zeros(4)), num_batches=None)
    for epoch in range(1, 4):
        assert meter.is_between_epochs
        for _ in range(5):
            next(batches)
            time.sleep(1.0)
        assert not meter.can_resume_inside_epoch
        measures = meter.close_epoch(epoch)
        assert (measures.samples, measures.step) == (20, 5 * epoch)
        assert measures.seconds == pytest.approx(5.0, abs=0.01)
        assert measures.step_seconds_p95 == pytest.approx(1.0, abs=0.01)
        time.sleep(3.0)  # its evaluation


@pytest.mark.usefixtures("own_time")
def test_passes_side_by_side_that_go_on_over_epochs_are_timed_once() -> None:
    meter, _, _ = new_meter()
    pairs = zip(*(meter.watch(itertools.repeat(torch.zeros(4)), num_batches=None) for _ in range(2)), strict=False)
    for epoch in range(1, 4):
        for _ in itertools.islice(pairs, 5):
            time.sleep(1.0)
        measures = meter.close_epoch(epoch)
        assert (measures.samples, measures.step) == (40, 5 * epoch)
        assert measures.seconds == pytest.approx(5.0, abs=0.01)


def test_loop_without_watch_has_no_throughput() -> None:
    meter, _, _ = new_meter()
    measures = meter.close_epoch(1)
    assert [measures.samples_per_second, measures.data_wait_share] == [0.0, 0.0]
    assert measures.step_seconds_p50 is None


def test_progress_is_sent_seldom_and_knows_the_epoch() -> None:
    meter, begun, progress = new_meter()
    list(meter.watch([torch.zeros(1)] * 1000, num_batches=1000))
    assert begun == ["begun"]
    assert 1 <= len(progress) < 100
    assert progress[0].epoch == 1
    assert progress[0].fraction == 0.001


def test_only_a_loader_that_winds_can_resume_inside_an_epoch() -> None:
    meter, _, _ = new_meter()
    wound: list[tuple[int, int]] = []
    for _ in meter.watch(BATCHES, num_batches=3):
        assert not meter.can_resume_inside_epoch
    meter.close_epoch(1)
    for _ in meter.watch(BATCHES, num_batches=3, wind=lambda epoch, batch: wound.append((epoch, batch))):
        assert meter.can_resume_inside_epoch
        assert not meter.is_between_epochs
    assert wound == [(2, 0)]
