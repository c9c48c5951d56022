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
