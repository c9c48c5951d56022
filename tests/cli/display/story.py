"""Events of a short study, as a coordinator tells them."""

from collections.abc import Mapping

from autotune.coordinator.observer import Observer, StudyView, TrialView
from autotune.events import EpochReport, Finished, Outcome, Progress, Started
from tests.reports import make_report


def view(
    *,
    elapsed: float = 0.0,
    outcomes: Mapping[str, int] | None = None,
    num_running: int = 0,
    baseline: float | None = None,
    best: tuple[int, float] | None = None,
    total_seconds: float | None = 600.0,
    raced: float = 0.0,
) -> StudyView:
    return StudyView(
        name="mnist",
        storage="sqlite:///autotune.db",
        metric="val_accuracy",
        reported_metric="val_accuracy",
        direction="maximize",
        epochs=6,
        total_trials=30,
        total_seconds=total_seconds,
        elapsed_seconds=elapsed,
        trial_seconds=elapsed - raced,
        outcomes=outcomes or {},
        num_running=num_running,
        baseline_value=baseline,
        best_value=best[1] if best else None,
        best_number=best[0] if best else None,
    )


def trial(number: int, *, is_adopted: bool = False) -> TrialView:
    return TrialView(
        number=number,
        parameters={"optimizer": "adam", "lr": 0.001, "batch_size": 64},
        is_baseline=number == 0,
        is_adopted=is_adopted,
        device="cpu",
    )


def report(epoch: int, *, accuracy: float) -> EpochReport:
    metrics = {"val_accuracy": accuracy, "train_loss": 0.1}
    return make_report(epoch, metrics=metrics, seconds=0.5, samples_per_second=8000.0)


def started(epochs_done: int = 0) -> Started:
    return Started(in_force={}, device="cpu", setup_seconds=0.125, epochs_done=epochs_done)


def tell_baseline(observer: Observer) -> None:
    """Trial 0 trains one epoch and ends; trial 1 is in its second epoch."""
    observer.study_opened(view())
    observer.trial_launched(trial(0), view(num_running=1))
    observer.trial_started(0, started())
    observer.trial_progressed(0, Progress(epoch=1, fraction=0.5, samples_per_second=7000.0, data_wait_share=0.5))
    observer.trial_reported(0, report(1, accuracy=0.9125), view(elapsed=5.0, num_running=1))
    done = view(elapsed=6.0, outcomes={"complete": 1}, baseline=0.9125, best=(0, 0.9125))
    observer.trial_ended(0, Finished(outcome=Outcome.COMPLETE), done)
    observer.trial_launched(trial(1), done)
    observer.trial_started(1, started())
    observer.trial_reported(1, report(1, accuracy=0.95), done)
    observer.trial_progressed(1, Progress(epoch=2, fraction=0.25, samples_per_second=9000.0, data_wait_share=0.125))


def tell_failure(observer: Observer) -> None:
    """Trial 2 fails with a message that would drive the terminal."""
    observer.trial_launched(trial(2), view(num_running=1))
    failed = Finished(
        outcome=Outcome.FAILED,
        reason="ValueError: no [bold]such\x1b[2J",
        traceback='Traceback:\n  File "task.py", line 3, in model\n    boom()\nValueError: no\x1b[2J',
    )
    observer.trial_ended(2, failed, view(elapsed=65.0, outcomes={"failed": 1}))
