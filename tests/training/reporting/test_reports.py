from collections.abc import Sequence
from pathlib import Path

import pytest

from autotune.events import EpochReport, Event, Outcome
from autotune.training.trial import Trial
from tests.training.tasks import Points
from tests.training.trials import KilledError, Recorder, train

BASE = {"batch_size": 8}


def throughput(reports: Sequence[EpochReport]) -> float:
    return sum(report.samples for report in reports) / sum(report.seconds for report in reports)


def dies_at(epoch: int) -> Recorder:
    """When the epoch's checkpoint is written, and nobody has heard of it."""

    def is_report(event: Event) -> bool:
        return isinstance(event, EpochReport) and event.epoch == epoch

    return Recorder(dies=is_report)


@pytest.mark.parametrize("num_epochs", [1, 2, 3])
def test_steady_throughput_leaves_the_first_epoch_out_if_there_are_more(tmp_path: Path, num_epochs: int) -> None:
    trained = train(Points(), tmp_path, BASE, epochs=num_epochs)
    steady = trained.reports[1:] or trained.reports
    assert trained.finished.samples_per_second == pytest.approx(throughput(steady))


@pytest.mark.parametrize("num_epochs", [1, 3])
def test_trial_that_died_before_its_last_word_keeps_its_throughput(tmp_path: Path, num_epochs: int) -> None:
    """All epochs are done, so the next process trains none; where throughput is an objective the trial would fail."""
    with pytest.raises(KilledError, match="killed"):
        train(Points(), tmp_path, BASE, epochs=num_epochs, channel=dies_at(num_epochs))
    again = train(Points(), tmp_path, BASE, epochs=num_epochs)
    assert again.finished.outcome is Outcome.COMPLETE
    assert len(again.reports) == num_epochs
    steady = again.reports[1:] or again.reports
    assert again.finished.samples_per_second == pytest.approx(throughput(steady))


def test_epoch_that_warms_up_a_second_process_is_not_all_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(KilledError, match="killed"):
        train(Points(), tmp_path, BASE, epochs=3, channel=dies_at(2))
    again = train(Points(), tmp_path, BASE, epochs=3)
    assert again.finished.samples_per_second == pytest.approx(throughput(again.reports[1:]))


def test_second_process_tells_of_its_own_epochs_once_it_is_warm(tmp_path: Path) -> None:
    with pytest.raises(KilledError, match="killed"):
        train(Points(), tmp_path, BASE, epochs=4, channel=dies_at(2))
    again = train(Points(), tmp_path, BASE, epochs=4)
    assert again.finished.samples_per_second == pytest.approx(throughput(again.reports[3:]))


def test_loop_whose_batches_are_not_watched_has_no_throughput(tmp_path: Path) -> None:
    def loop(trial: Trial) -> None:
        trial.report(1, val_loss=1.0)

    assert train(loop, tmp_path, epochs=1).finished.samples_per_second is None


def test_set_up_is_counted_from_when_the_process_opened_its_channel(tmp_path: Path) -> None:
    """The task may have been imported and set up since then, before the trial's own preparations."""
    channel = Recorder()
    channel.opened_at -= 60
    trained = train(Points(), tmp_path, BASE, epochs=1, channel=channel)
    assert 60 <= trained.started.setup_seconds < 120
