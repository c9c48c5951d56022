import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autotune.events import EpochReport, Outcome, Scalar, Started, Stop
from autotune.goals import Target
from autotune.training.parameters import Parameters
from autotune.training.task import Task
from autotune.training.trial import Trial
from tests.training.tasks import NUM_TRAIN, NoisyPoints, Points
from tests.training.trials import PRUNED, Ends, KilledError, Recorder, is_report_of_epoch_2, is_same_weights, train

BASE: dict[str, Scalar] = {"batch_size": 8, "lr": 0.05, "schedule": "cosine", "warmup": 0.1}
STEP = Target(metric="val_step", bound=2.0, is_at_least=True)


class Stepping(Points):
    """Its metric is the number of evaluations so far."""

    def __init__(self) -> None:
        self.num_evaluations = 0

    def evaluate(self, model: Any, batches: Any) -> dict[str, float]:
        del model
        self.num_evaluations += 1
        list(batches)
        return {"loss": 1 / self.num_evaluations, "step": float(self.num_evaluations)}


def test_trial_is_complete_when_its_target_is_seen(tmp_path: Path) -> None:
    trained = train(Stepping(), tmp_path, epochs=9, ends=Ends((STEP,)))
    first, second = trained.reports
    assert trained.finished.outcome is Outcome.COMPLETE
    assert "time_to_val_step" not in first.metrics
    assert second.metrics["time_to_val_step"] == second.trained_seconds


@pytest.mark.usefixtures("own_time")
def test_time_to_a_target_counts_evaluation(tmp_path: Path) -> None:
    class Slow(Stepping):
        def evaluate(self, model: Any, batches: Any) -> dict[str, float]:
            time.sleep(0.1)
            return super().evaluate(model, batches)

    trained = train(Slow(), tmp_path, epochs=9, ends=Ends((STEP,)))
    last = trained.reports[-1]
    assert last.metrics["time_to_val_step"] >= 0.2
    assert sum(report.seconds for report in trained.reports) < last.metrics["time_to_val_step"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (Target(metric="val_step", bound=9.5, is_at_least=True), "val_step 3 never reached 9.5"),
        (Target(metric="val_loss", bound=0.2, is_at_least=False), "val_loss 0.3333 never came down to 0.2"),
    ],
)
def test_trial_that_never_sees_its_target_is_pruned_with_the_reason(
    tmp_path: Path, target: Target, reason: str
) -> None:
    trained = train(Stepping(), tmp_path, epochs=3, ends=Ends((target,)))
    assert len(trained.reports) == 3
    assert (trained.finished.outcome, trained.finished.reason) == (Outcome.PRUNED, reason)


def test_trial_with_two_targets_trains_until_both_are_seen(tmp_path: Path) -> None:
    loss = Target(metric="val_loss", bound=0.25, is_at_least=False)
    trained = train(Stepping(), tmp_path, epochs=9, ends=Ends((STEP, loss)))
    second, last = trained.reports[1], trained.reports[-1]
    assert last.epoch == 4
    assert last.metrics["time_to_val_step"] == second.metrics["time_to_val_step"]
    assert last.metrics["time_to_val_loss"] > last.metrics["time_to_val_step"]


def test_a_stop_that_comes_with_the_target_takes_nothing_away(tmp_path: Path) -> None:
    def loop(trial: Trial) -> None:
        assert trial.should_stop()
        trial.report(1, val_step=2.0, val_loss=1.0)

    trained = train(loop, tmp_path, ends=Ends((STEP,)), channel=Recorder(stop=PRUNED, stop_after=0))
    assert trained.finished.outcome is Outcome.COMPLETE


@pytest.mark.usefixtures("own_time")
def test_time_to_a_target_leaves_out_the_time_between_two_processes(tmp_path: Path) -> None:
    task = Stepping()
    stopped = train(task, tmp_path, BASE, epochs=9, ends=Ends((STEP,)), channel=Recorder(stop_after=8))
    assert stopped.finished.outcome is Outcome.INTERRUPTED
    time.sleep(60)
    resumed = train(task, tmp_path, BASE, epochs=9, ends=Ends((STEP,)))
    (first,), last = stopped.reports, resumed.reports[-1]
    assert first.trained_seconds is not None
    assert first.trained_seconds < last.metrics["time_to_val_step"] < first.trained_seconds + 1


@pytest.mark.usefixtures("own_time")
def test_trial_whose_seconds_are_over_before_an_epochs_first_step_has_not_diverged(tmp_path: Path) -> None:
    """It reported an epoch of no steps, whose mean loss is NaN."""

    class Late(Points):
        def model(self, params: Parameters) -> nn.Module:
            model = super().model(params)
            begin, epochs = model.train, count(1)

            def train(mode: bool = True) -> nn.Module:  # noqa: FBT001, FBT002 - as torch has it
                if mode and next(epochs) == 2:
                    time.sleep(1.1)
                return begin(mode)

            model.train = train  # type: ignore[method-assign]
            return model

    trained = train(Late(), tmp_path, epochs=9, ends=Ends((), "seconds", 1))
    assert trained.finished.outcome is Outcome.COMPLETE
    assert [report.epoch for report in trained.reports] == [1]


def stepping_loop(trial: Trial) -> None:
    """A loop of one's own with the metric of ``Stepping``, as the manual has it: it asks once an epoch."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(trial.checkpoint.restore(model=model, optimizer=optimizer), trial.epochs):
        for _ in trial.watch([torch.zeros(NUM_TRAIN, 2)]):
            optimizer.step()
        trial.report(epoch + 1, val_step=epoch + 1, val_loss=1.0)
        if trial.should_stop():
            return


@pytest.mark.parametrize("ends", [Ends((STEP,)), Ends((), "samples", 2 * NUM_TRAIN)])
@pytest.mark.parametrize("make_task", [Stepping, lambda: stepping_loop])
def test_trial_that_died_at_its_end_trains_no_further(
    tmp_path: Path, ends: Ends, make_task: Callable[[], Task | Callable[[Trial], None]]
) -> None:
    with pytest.raises(KilledError, match="killed"):
        train(make_task(), tmp_path, epochs=9, channel=Recorder(dies=is_report_of_epoch_2), ends=ends)
    again = train(make_task(), tmp_path, epochs=9, ends=ends)
    assert again.finished.outcome is Outcome.COMPLETE
    assert [type(event) for event in again.channel.events] == [Started, EpochReport, EpochReport]


def test_trial_ends_at_the_step_that_uses_its_samples_up(tmp_path: Path) -> None:
    trained = train(Points(), tmp_path, BASE, epochs=9, ends=Ends((), "samples", 60))
    assert trained.finished.outcome is Outcome.COMPLETE
    assert [report.samples for report in trained.reports] == [42, 24]
    assert [report.trained_samples for report in trained.reports] == [42, 66]
    assert all("val_loss" in report.metrics for report in trained.reports)


@pytest.mark.usefixtures("own_time")
def test_trial_whose_seconds_are_up_between_two_epochs_is_complete(tmp_path: Path) -> None:
    """It would have trained nothing in the next one, whose mean loss of no samples is NaN."""

    class Evaluated(Points):
        is_evaluated = False

        def evaluate(self, model: Any, batches: Any) -> Mapping[str, Any]:
            values = super().evaluate(model, batches)
            self.is_evaluated = True
            return values

    class Slow(Recorder):
        @property
        def stop(self) -> Stop | None:
            if task.is_evaluated:
                task.is_evaluated = False
                time.sleep(1.0)
            return super().stop

    task = Evaluated()
    trained = train(task, tmp_path, BASE, epochs=9, ends=Ends((), "seconds", 1), channel=Slow())
    assert (trained.finished.outcome, trained.finished.reason) == (Outcome.COMPLETE, None)
    assert [report.epoch for report in trained.reports] == [1]


@pytest.mark.usefixtures("own_time")
def test_trial_ends_when_its_seconds_are_used_up(tmp_path: Path) -> None:
    class Slow(Points):
        def loss(self, outputs: Any, targets: Any) -> Tensor:
            if torch.is_grad_enabled():
                time.sleep(1 / 16)
            return super().loss(outputs, targets)

    trained = train(Slow(), tmp_path, BASE, epochs=999, ends=Ends((), "seconds", 1))
    last = trained.reports[-1]
    assert trained.finished.outcome is Outcome.COMPLETE
    assert last.trained_seconds == pytest.approx(1, abs=0.01)
    assert last.step == 16


def test_epochs_are_the_most_that_a_trial_in_samples_gets(tmp_path: Path) -> None:
    trained = train(Points(), tmp_path, BASE, epochs=2, ends=Ends((), "samples", 10_000))
    assert trained.finished.outcome is Outcome.COMPLETE
    assert len(trained.reports) == 2


@pytest.mark.parametrize("stop_after", range(14))
def test_trial_in_samples_that_was_stopped_at_any_look_goes_on_as_if_it_had_not(
    tmp_path: Path, stop_after: int
) -> None:
    ends = Ends((), "samples", 90)
    whole = train(NoisyPoints(), tmp_path / "whole", BASE, epochs=9, ends=ends)
    stopped = train(
        NoisyPoints(), tmp_path / "parts", BASE, epochs=9, channel=Recorder(stop_after=stop_after), ends=ends
    )
    resumed = train(NoisyPoints(), tmp_path / "parts", BASE, epochs=9, ends=ends)
    assert stopped.finished.outcome is Outcome.INTERRUPTED
    assert resumed.metrics == whole.metrics
    assert [report.trained_samples for report in resumed.reports] == [42, 84, 92]
    assert is_same_weights(resumed, whole)


def test_schedule_of_a_trial_in_samples_ends_with_them(tmp_path: Path) -> None:
    whole = train(Points(), tmp_path / "epochs", BASE, epochs=2)
    counted = train(Points(), tmp_path / "samples", BASE, epochs=999, ends=Ends((), "samples", 84))
    rates = [report.lr for report in counted.reports]
    assert len(rates) == 2
    assert rates[0] == pytest.approx(whole.reports[0].lr, rel=0.2)
    assert rates[1] == pytest.approx(0.0, abs=1e-12)


def test_own_loop_is_told_to_return_when_its_samples_are_used_up(tmp_path: Path) -> None:
    def loop(trial: Trial) -> None:
        for epoch in range(trial.epochs):
            for _ in trial.watch([{"x": [0] * 10}] * 5):
                pass
            trial.report(epoch + 1, val_loss=1.0)
            if trial.should_stop():
                return

    trained = train(loop, tmp_path, epochs=9, ends=Ends((), "samples", 12))
    assert trained.finished.outcome is Outcome.COMPLETE
    assert len(trained.reports) == 3


@pytest.mark.usefixtures("own_time")
def test_own_loop_that_is_not_watched_has_a_clock_all_the_same(tmp_path: Path) -> None:
    def loop(trial: Trial) -> None:
        time.sleep(0.05)
        trial.report(1, val_step=2.0, val_loss=1.0)

    trained = train(loop, tmp_path, ends=Ends((STEP,)))
    assert trained.finished.outcome is Outcome.COMPLETE
    assert trained.reports[0].metrics["time_to_val_step"] >= 0.05
