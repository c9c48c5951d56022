from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from autotune.errors import TaskError
from autotune.events import Adjusted, Outcome, Scalar
from autotune.training.batches import Batch
from autotune.training.parameters import Parameters
from autotune.training.steps.accumulation import MicroBatches
from autotune.training.trial import Trial
from tests.training.tasks import NoisyPoints, points
from tests.training.trials import Recorder, Trained, is_same_weights, train

# 42 samples in batches of 16: the last has ten.
BASE: dict[str, Scalar] = {"batch_size": 16, "lr": 0.05, "optimizer": "adam"}
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class Hungry(NoisyPoints):
    """With BatchNorm and Dropout; runs out of memory in the forward pass above so many samples."""

    def __init__(self, most: int, *, error: BaseException = OUT_OF_MEMORY) -> None:
        self.most = most
        self.error = error

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        inputs, targets = batch
        outputs = model(inputs)  # running statistics and dropout's draws are changed already
        if model.training and len(inputs) > self.most:
            raise self.error
        return outputs, targets


class HungryBackward(Hungry):
    """Runs out of memory in the backward pass of the second micro-batch on, when gradients are there already."""

    def loss(self, outputs: Tensor, targets: Any) -> Tensor:
        loss = super().loss(outputs, targets)
        return _Failing.apply(loss) if len(outputs) > self.most and outputs.requires_grad else loss  # type: ignore[no-untyped-call]

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        inputs, targets = batch
        return model(inputs), targets


class _Failing(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, loss: Tensor) -> Tensor:
        return loss.clone()

    @staticmethod
    def backward(_: Any, __: Tensor) -> Tensor:
        raise OUT_OF_MEMORY


def adjusted(trained: Trained) -> list[Scalar]:
    return [event.in_force["accumulate"] for event in trained.channel.events if isinstance(event, Adjusted)]


@pytest.mark.parametrize("task", [Hungry, HungryBackward])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_run_that_shrinks_its_micro_batches_is_the_run_that_had_them_so_from_the_start(
    tmp_path: Path, task: type[Hungry], precision: str
) -> None:
    parameters = BASE | {"precision": precision}
    fixed = train(NoisyPoints(), tmp_path / "fixed", parameters | {"accumulate": 4})
    shrunk = train(task(4), tmp_path / "auto", parameters | {"accumulate": "auto"})
    assert shrunk.finished.outcome is Outcome.COMPLETE
    assert shrunk.started.in_force["accumulate"] == 1
    assert adjusted(shrunk) == [2, 4]
    assert shrunk.metrics == fixed.metrics
    assert is_same_weights(shrunk, fixed)
    assert [report.samples for report in shrunk.reports] == [report.samples for report in fixed.reports]
    assert [report.step for report in shrunk.reports] == [report.step for report in fixed.reports]


def test_run_that_has_memory_enough_is_the_run_without_accumulation(tmp_path: Path) -> None:
    plain = train(NoisyPoints(), tmp_path / "plain", BASE)
    auto = train(NoisyPoints(), tmp_path / "auto", BASE | {"accumulate": "auto"})
    assert adjusted(auto) == []
    assert auto.metrics == plain.metrics
    assert is_same_weights(auto, plain)


@pytest.mark.parametrize("stop_after", [1, 3, 5, 7])
def test_resumed_run_goes_on_with_the_micro_batches_that_it_had(tmp_path: Path, stop_after: int) -> None:
    parameters = BASE | {"accumulate": "auto"}
    whole = train(Hungry(4), tmp_path / "whole", parameters)
    train(Hungry(4), tmp_path / "parts", parameters, channel=Recorder(stop_after=stop_after))
    resumed = train(Hungry(4), tmp_path / "parts", parameters)
    assert resumed.started.in_force["accumulate"] == 4
    assert adjusted(resumed) == []
    assert resumed.metrics == whole.metrics
    assert is_same_weights(resumed, whole)


def test_pair_of_samples_that_batchnorm_needs_and_that_does_not_fit_is_infeasible(tmp_path: Path) -> None:
    trained = train(Hungry(0), tmp_path, BASE | {"accumulate": "auto"})
    assert trained.finished.outcome is Outcome.INFEASIBLE
    assert "two samples do not fit, and one can't be normalised (ValueError: " in str(trained.finished.reason)
    assert adjusted(trained) == [2, 4, 8, 16]


@pytest.mark.parametrize(
    "message",
    [
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA driver error: out of memory",
        "Triton Error [CUDA]: out of memory",
    ],
)
def test_batch_that_a_library_has_no_room_for_is_halved(tmp_path: Path, message: str) -> None:
    trained = train(Hungry(8, error=RuntimeError(message)), tmp_path, BASE | {"accumulate": "auto"})
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    assert adjusted(trained) == [2]


def test_single_sample_without_batchnorm_that_does_not_fit_is_infeasible(tmp_path: Path) -> None:
    class Plain(Hungry):
        def model(self, params: Parameters) -> nn.Module:
            del params
            return nn.Linear(4, 2)

    trained = train(Plain(0), tmp_path, BASE | {"accumulate": "auto"})
    assert trained.finished.outcome is Outcome.INFEASIBLE
    assert "a single sample does not fit (OutOfMemoryError: CUDA out of memory." in str(trained.finished.reason)


@pytest.mark.parametrize("accumulate", [6, "auto"])
def test_odd_last_batch_leaves_batchnorm_no_single_sample(tmp_path: Path, accumulate: Scalar) -> None:
    """39 samples in batches of 12, cut into twos: the last batch has three."""

    class Odd(Hungry):
        def train_data(self, params: Parameters) -> Dataset[Any]:
            del params
            return TensorDataset(*points(39, seed=0))

    most = 3 if accumulate == "auto" else 39
    trained = train(Odd(most), tmp_path, BASE | {"batch_size": 12, "accumulate": accumulate})
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    assert trained.reports[0].samples == 39


def test_batch_that_does_not_fit_is_infeasible_without_auto(tmp_path: Path) -> None:
    trained = train(Hungry(8), tmp_path, BASE)
    assert trained.finished.outcome is Outcome.INFEASIBLE
    assert trained.reports == []


class HungryEvaluation(Hungry):
    """Trains with any batch, and can't evaluate so many samples at once."""

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        inputs, targets = batch
        if not model.training and len(inputs) > self.most:
            raise self.error
        return model(inputs), targets


def test_validation_batch_that_does_not_fit_is_halved_and_the_trial_goes_on(tmp_path: Path) -> None:
    halved = train(HungryEvaluation(4), tmp_path / "halved", BASE)
    plain = train(NoisyPoints(), tmp_path / "plain", BASE)
    assert halved.finished.outcome is Outcome.COMPLETE, halved.finished
    told = [event.in_force["validation_batch_size"] for event in halved.channel.events if isinstance(event, Adjusted)]
    assert told == [8, 4]
    assert is_same_weights(halved, plain)


@pytest.mark.parametrize(("most", "size"), [(0, "auto"), (4, 5)])
def test_validation_that_fits_in_no_way_that_was_asked_for_is_infeasible(
    tmp_path: Path, most: int, size: Scalar
) -> None:
    trained = train(HungryEvaluation(most), tmp_path, BASE | {"validation_batch_size": size})
    assert trained.finished.outcome is Outcome.INFEASIBLE


def test_error_that_is_none_of_memory_is_not_tried_again(tmp_path: Path) -> None:
    task = Hungry(8, error=RuntimeError("shapes cannot be multiplied"))
    trained = train(task, tmp_path, BASE | {"accumulate": "auto"})
    assert trained.finished.outcome is Outcome.FAILED
    assert trained.finished.reason == "RuntimeError: shapes cannot be multiplied"


def test_loop_of_ones_own_accumulates_too(tmp_path: Path) -> None:
    def own_loop(trial: Trial) -> None:
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def loss(batch: Batch) -> Tensor:
            if len(batch[0]) > 10:
                raise OUT_OF_MEMORY
            return nn.functional.cross_entropy(model(batch[0]), batch[1])

        gradient = trial.accumulator(model, loss)
        losses = []
        batches = [points(20, seed=number) for number in range(3)]
        for batch in trial.watch(batches):
            losses.append(gradient(batch))
            trial.step(optimizer)
        trial.report(1, val_loss=sum(losses))

    trained = train(own_loop, tmp_path, {"accumulate": "auto"}, epochs=1)
    assert trained.finished.outcome is Outcome.COMPLETE
    assert adjusted(trained) == [2]


@pytest.mark.parametrize("accumulate", [0, -1, True, "many", 2.0, None])
def test_number_that_cuts_nothing_is_refused(accumulate: Scalar) -> None:
    with pytest.raises(TaskError, match="accumulate: must be a whole number from 1 on, or auto, got"):
        MicroBatches(accumulate)
