import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from autotune.events import EpochReport, Outcome, Scalar, Started
from autotune.training.batches import Batch
from autotune.training.process.loading import load_task
from autotune.training.process.run import run_trial
from autotune.training.trial import Trial
from tests.training.tasks import points
from tests.training.trials import PRUNED, Recorder, is_same_weights, order, train

SCRIPT = Path(__file__).with_name("digits_script.py")


def test_script_becomes_a_task_with_about_five_changed_lines() -> None:
    body = SCRIPT.read_text().split("def train(trial):", 1)[1]
    assert len([line for line in body.splitlines() if "trial" in line]) == 5


def run_script(folder: Path, channel: Recorder) -> Recorder:
    task = load_task(f"{SCRIPT}:train")
    run_trial(order(folder, {"lr": 0.1}, objective_metrics=("val_accuracy",)), task=task, channel=channel)
    return channel


def test_script_is_recorded_like_any_task(tmp_path: Path) -> None:
    channel = run_script(tmp_path, Recorder())
    reports = channel.of(EpochReport)
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert [report.samples for report in reports] == [1400, 1400, 1400]
    assert reports[-1].metrics["val_accuracy"] > 0.8
    assert reports[-1].lr == 0.1
    assert reports[-1].samples_per_second > 0
    assert 0 < reports[-1].data_wait_share <= 1
    assert reports[-1].step == 66


def test_script_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = run_script(tmp_path / "whole", Recorder())
    stopped = run_script(tmp_path / "parts", Recorder(stop_after=2))
    resumed = run_script(tmp_path / "parts", Recorder())
    assert len(stopped.of(EpochReport)) == 2
    assert [r.metrics for r in resumed.of(EpochReport)] == [r.metrics for r in whole.of(EpochReport)]


def loop(trial: Trial) -> None:
    """A loop that takes all its parts from the trial."""
    model = trial.prepare(nn.Linear(4, 2))
    optimizer = trial.optimizer(model)
    loader = trial.loader(TensorDataset(*points(40, seed=0)), train=True)
    scheduler = trial.scheduler(optimizer, steps_per_epoch=len(loader))
    autocast = trial.autocast()
    done = trial.checkpoint.restore(model=model, optimizer=optimizer, scheduler=scheduler)
    for epoch in range(done, trial.epochs):
        total = 0.0
        for inputs, labels in loader:
            with autocast:
                loss = nn.functional.cross_entropy(model(inputs), labels)
            trial.backward(loss)
            trial.step(optimizer)
            scheduler.step()
            total += loss.item()
        trial.report(epoch + 1, val_loss=total)
        if trial.should_stop():
            return


def test_helpers_put_the_parameters_in_force(tmp_path: Path) -> None:
    parameters: dict[str, Scalar] = {
        "batch_size": 8,
        "optimizer": "adamw",
        "lr": 0.1,
        "precision": "bf16",
        "optimizer_impl": "foreach",
    }
    trained = train(loop, tmp_path, parameters)
    in_force = trained.started.in_force
    assert in_force["precision"] == "bf16"
    assert in_force["optimizer_impl"] == "foreach"
    assert in_force["num_workers"] == 0
    assert trained.started.num_parameters == 10
    assert trained.finished.unread_parameters == ()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_whole_step_is_its_two_halves(tmp_path: Path, accumulate: int) -> None:
    def own_loop(trial: Trial, *, is_whole: bool) -> None:
        torch.manual_seed(0)
        model = trial.prepare(nn.Linear(4, 2))
        optimizer = trial.optimizer(model)

        def loss(batch: Batch) -> Tensor:
            return nn.functional.cross_entropy(model(batch[0]), batch[1])

        gradient, take_step = trial.accumulator(model, loss), trial.training_step(model, loss, optimizer)
        total = torch.zeros(())
        for batch in trial.watch([points(20, seed=number) for number in range(3)]):
            total += take_step(batch) if is_whole else gradient(batch)
            if not is_whole:
                trial.step(optimizer)
        trial.report(1, val_loss=total)

    knobs: dict[str, Scalar] = {"lr": 0.1, "gradient_clip": 0.5, "accumulate": accumulate, "cuda_graph": True}
    whole = train(partial(own_loop, is_whole=True), tmp_path / "whole", knobs, epochs=1)
    halves = train(partial(own_loop, is_whole=False), tmp_path / "halves", knobs, epochs=1)
    assert whole.metrics == halves.metrics
    assert whole.started.in_force["cuda_graph"] is False  # on a CPU
    assert whole.finished.unread_parameters == ()


def test_loss_that_a_gradient_could_flow_through_is_reported_as_it_is(tmp_path: Path) -> None:
    """torch warns of ``float(loss)``."""

    def own_loop(trial: Trial) -> None:
        trial.report(1, val_loss=nn.Parameter(torch.ones(())) * 2)

    trained = train(own_loop, tmp_path, epochs=1)
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    assert trained.metrics == [{"val_loss": 2.0}]


def test_parameters_that_a_loop_ignores_are_told(tmp_path: Path) -> None:
    trained = train(loop, tmp_path, {"batch_size": 8, "batchsize": 16})
    assert trained.finished.reason is None
    assert trained.finished.unread_parameters == ("batchsize",)


def test_pruned_loop_ends_as_pruned(tmp_path: Path) -> None:
    trained = train(loop, tmp_path, channel=Recorder(stop=PRUNED, stop_after=3))
    assert trained.finished.outcome is Outcome.PRUNED
    assert len(trained.reports) < 3


def test_loop_that_heeds_no_stop_is_complete(tmp_path: Path) -> None:
    def deaf(trial: Trial) -> None:
        for epoch in range(trial.epochs):
            trial.report(epoch + 1, val_loss=1.0)

    trained = train(deaf, tmp_path, channel=Recorder(stop=PRUNED, stop_after=0))
    assert trained.finished.outcome is Outcome.COMPLETE


def test_loop_that_stops_early_by_itself_is_complete(tmp_path: Path) -> None:
    trained = train(lambda trial: trial.report(1, val_loss=0.5), tmp_path)
    assert trained.finished.outcome is Outcome.COMPLETE
    assert trained.started.num_parameters is None


@pytest.mark.parametrize("is_report_first", [False, True])
def test_checkpoint_may_be_saved_before_or_after_the_report(tmp_path: Path, *, is_report_first: bool) -> None:
    def saving(trial: Trial) -> None:
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = DataLoader(TensorDataset(*points(40, seed=0)), batch_size=8, shuffle=True)
        for epoch in range(trial.checkpoint.restore(model=model, optimizer=optimizer), trial.epochs):
            for inputs, labels in trial.watch(loader):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(inputs), labels).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            if is_report_first:
                trial.report(epoch + 1, val_loss=model.weight.sum().item() ** 2)
            trial.checkpoint.save(model=model, optimizer=optimizer)
            if not is_report_first:
                trial.report(epoch + 1, val_loss=model.weight.sum().item() ** 2)
            if trial.should_stop():
                return

    whole = train(saving, tmp_path / "whole")
    train(saving, tmp_path / "parts", channel=Recorder(stop_after=3))
    resumed = train(saving, tmp_path / "parts")
    assert resumed.started.epochs_done == 2
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)


def test_save_inside_an_epoch_keeps_the_last_epochs_checkpoint(tmp_path: Path) -> None:
    def stops_inside(trial: Trial) -> None:
        model = nn.Linear(4, 2)
        for epoch in range(trial.checkpoint.restore(model=model), trial.epochs):
            for _ in trial.watch(range(4)):
                trial.checkpoint.save_inside_epoch()
                if trial.should_stop():
                    return
            trial.report(epoch + 1, val_loss=1.0)

    train(stops_inside, tmp_path, channel=Recorder(stop_after=6))
    assert train(stops_inside, tmp_path).started.epochs_done == 1


def test_report_of_epoch_0_says_to_count_from_1(tmp_path: Path) -> None:
    trained = train(lambda trial: trial.report(0, val_loss=1.0), tmp_path)
    assert trained.finished.outcome is Outcome.FAILED
    assert "report epoch + 1" in str(trained.finished.reason)


def test_report_without_the_objective_names_what_there_is(tmp_path: Path) -> None:
    trained = train(lambda trial: trial.report(1, loss=1.0, f1=0.5), tmp_path, objective_metrics=("val_f1",))
    assert trained.finished.outcome is Outcome.FAILED
    assert trained.finished.reason == ("TaskError: objective: val_f1 is no metric of this task, which reports f1, loss")
    assert trained.reports == []


def test_loop_without_a_report_has_failed(tmp_path: Path) -> None:
    def silent(trial: Trial) -> None:
        assert trial.epochs == 3

    trained = train(silent, tmp_path)
    assert trained.finished.outcome is Outcome.FAILED
    assert "trial.report" in str(trained.finished.reason)


def test_started_comes_first_and_before_the_first_batch(tmp_path: Path) -> None:
    seen: list[int] = []
    channel = Recorder()

    def looking(trial: Trial) -> None:
        seen.append(len(channel.events))
        seen.extend(len(channel.of(Started)) for _ in trial.watch([1, 2]))
        trial.report(1, val_loss=1.0)

    train(looking, tmp_path, channel=channel)
    assert seen == [0, 1, 1]
    assert isinstance(channel.events[0], Started)


def test_knobs_that_a_loop_of_ones_own_does_not_apply_are_told(tmp_path: Path) -> None:
    def plain(trial: Trial) -> None:
        trial.report(1, val_loss=1.0)

    parameters: dict[str, Scalar] = {"precision": "bf16", "gradient_clip": 1.0, "torch_threads": 1}
    assert train(plain, tmp_path, parameters).finished.unread_parameters == ("gradient_clip", "precision")


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    """Nobody knows how many samples there are."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(*points(40, seed=0), strict=True)


def test_stream_of_unknown_length_is_watched_like_any_loader(tmp_path: Path) -> None:
    def streaming(trial: Trial) -> None:
        for epoch in range(trial.epochs):
            total = sum(float(inputs.sum()) for inputs, _ in trial.watch(DataLoader(Stream(), batch_size=16)))
            trial.report(epoch + 1, val_loss=total**2)

    trained = train(streaming, tmp_path, epochs=2)
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    assert [[report.samples, report.step] for report in trained.reports] == [[40, 3], [40, 6]]


def test_optimizers_that_step_after_one_backward_divide_by_the_scale_that_it_had(tmp_path: Path) -> None:
    """The first one's gradient overflows, for which the scale is halved: only when both have stepped."""
    moved = []

    def two_optimizers(trial: Trial) -> None:
        overflowing, plain = (nn.Parameter(torch.zeros(())) for _ in range(2))
        optimizers = [torch.optim.SGD([parameter], lr=1.0) for parameter in (overflowing, plain)]
        for epoch in range(trial.epochs):
            trial.backward(overflowing * (1e35 if epoch == 0 else 1.0) + plain)
            for optimizer in optimizers:
                trial.step(optimizer)
            moved.append([overflowing.item(), plain.item()])
            trial.report(epoch + 1, val_loss=0.0)

    trained = train(two_optimizers, tmp_path, {"precision": "fp16"}, epochs=2)
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    assert moved == [[0.0, -1.0], [-1.0, -2.0]]


@pytest.mark.parametrize(
    "around", [lambda loader: loader, lambda loader: (batch for batch in loader)], ids=["bare", "wrapped"]
)
def test_loader_of_the_trial_is_not_watched_once_more(
    tmp_path: Path, around: Callable[[Iterable[Batch]], Iterable[Batch]]
) -> None:
    """Its samples counted twice, and so ended a trial with a budget of samples at half of it."""

    def watch_twice(trial: Trial) -> None:
        for _ in trial.watch(around(trial.loader(TensorDataset(*points(40, seed=0)), train=True))):
            pass
        trial.report(1, val_loss=0.5)

    trained = train(watch_twice, tmp_path)
    assert trained.finished.outcome is Outcome.FAILED
    assert "trial.watch: batches are measured once, got those of trial.loader" in str(trained.finished.reason)


def test_loaders_side_by_side_are_both_watched(tmp_path: Path) -> None:
    """Each step and each second counted twice."""
    spans: list[float] = []

    def zip_two(trial: Trial) -> None:
        for epoch in range(2):
            loaders = [trial.loader(TensorDataset(*points(40, seed=seed)), train=True) for seed in (0, 1)]
            began = time.perf_counter()
            for _ in zip(*loaders, strict=True):
                time.sleep(0.01)
            spans.append(time.perf_counter() - began)
            trial.report(epoch + 1, val_loss=0.5)

    trained = train(zip_two, tmp_path, {"batch_size": 8}, epochs=2)
    assert trained.finished.reason is None
    assert [(report.samples, report.step) for report in trained.reports] == [(80, 5), (80, 10)]
    assert all(report.seconds <= span for report, span in zip(trained.reports, spans, strict=True))


def test_pass_that_is_left_open_counts_in_its_own_epoch_alone(tmp_path: Path) -> None:
    """All that passed until somebody closed it was added to the seconds of a later epoch."""
    spans: list[float] = []

    def leave_open(trial: Trial) -> None:
        loader = trial.loader(TensorDataset(*points(40, seed=0)), train=True)
        first = iter(loader)
        next(first)
        trial.report(1, val_loss=0.5)
        time.sleep(0.05)
        began = time.perf_counter()
        for _ in loader:
            pass
        del first
        spans.append(time.perf_counter() - began)
        trial.report(2, val_loss=0.5)

    trained = train(leave_open, tmp_path, epochs=2)
    assert trained.finished.reason is None
    assert 0 < trained.reports[1].seconds <= spans[0]
