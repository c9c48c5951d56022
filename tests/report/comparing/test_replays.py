from autotune.report.comparing.replays import summarise_replay
from tests.reports import make_report


def test_epochs_that_a_replay_did_not_reach_have_no_metrics() -> None:
    recorded = [make_report(epoch, metrics={"val_loss": 1 / epoch}) for epoch in (1, 2)]
    summary = summarise_replay("digits", number=3, is_same=False, recorded=recorded, replayed=recorded[:1])
    assert [pair.replayed for pair in summary.epochs] == [{"val_loss": 1.0}, {}]
    assert [pair.recorded for pair in summary.epochs] == [{"val_loss": 1.0}, {"val_loss": 0.5}]
