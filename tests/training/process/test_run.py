import errno
import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from autotune.errors import TaskError
from autotune.events import Finished, Outcome, Progress, Scalar
from autotune.training import InfeasibleError
from autotune.training.batches import Batch
from autotune.training.machine.crowding import memory_at
from autotune.training.parameters import Parameters
from autotune.training.process.run import run_trial
from tests.training.tasks import NUM_TRAIN, NUM_VALIDATION, Noisy, Points, WeightedPoints, points
from tests.training.trials import Recorder, loaded, order, train


class Raising(Points):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("boom"), Outcome.FAILED),
        (SystemExit("no data"), Outcome.FAILED),
        (InfeasibleError("the kernel is larger than the picture"), Outcome.INFEASIBLE),
        (MemoryError(), Outcome.INFEASIBLE),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), Outcome.INFEASIBLE),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 4 bytes"), Outcome.INFEASIBLE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), Outcome.INFEASIBLE),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), Outcome.INFEASIBLE),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), Outcome.INFEASIBLE),
        (RuntimeError("\"ctc_loss_cpu\" not implemented for 'BFloat16'"), Outcome.INFEASIBLE),
        (RuntimeError("\"nll_loss_forward\" not implemented for 'Int'"), Outcome.FAILED),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), Outcome.FAILED),
    ],
)
def test_what_a_task_raises_becomes_the_outcome(tmp_path: Path, error: BaseException, outcome: Outcome) -> None:
    finished = train(Raising(error), tmp_path).finished
    assert finished.outcome is outcome
    assert str(finished.reason).startswith(type(error).__name__)


class Killing(Noisy):
    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


class KillingData(Points):
    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Killing(*points(8, seed=0))


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_worker_that_is_killed_interrupts_the_trial(tmp_path: Path, start_method: str) -> None:
    """It may be anybody's doing, and the trial can go on from its checkpoint: no failure, and no lesson in memory."""
    finished = train(KillingData(), tmp_path, {"num_workers": 1, "worker_start_method": start_method}).finished
    assert finished.outcome is Outcome.INTERRUPTED
    assert finished.reason == "a DataLoader worker was killed (signal 9)"
    assert finished.is_killed_worker
    assert not finished.is_out_of_memory


class ToldTooLateError(Exception):
    """While it is being told, torch's signal handler says that a worker was killed."""

    def __str__(self) -> str:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")


def test_worker_whose_end_is_told_while_its_batch_is_explained_interrupts_the_trial(tmp_path: Path) -> None:
    """Else the process ends without a word."""
    finished = train(Raising(ToldTooLateError()), tmp_path).finished
    assert finished.outcome is Outcome.INTERRUPTED
    assert finished.is_killed_worker


def test_worker_that_leaves_by_itself_is_the_tasks_failure(tmp_path: Path) -> None:
    class Leaving(Noisy):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            os._exit(7)

    class LeavingData(Points):
        def train_data(self, params: Parameters) -> Dataset[Any]:
            return Leaving(*points(8, seed=0))

    finished = train(LeavingData(), tmp_path, {"num_workers": 1}).finished
    assert finished.outcome is Outcome.FAILED
    assert "exited unexpectedly" in str(finished.reason)


def test_connection_of_the_tasks_own_that_breaks_off_is_its_failure(tmp_path: Path) -> None:
    finished = train(Raising(ConnectionResetError("by peer")), tmp_path).finished
    assert finished.outcome is Outcome.FAILED


def test_memory_that_can_not_be_had_is_infeasible(tmp_path: Path) -> None:
    class Huge(Points):
        def model(self, params: Parameters) -> nn.Module:
            return nn.Linear(4, 2**46)

    finished = train(Huge(), tmp_path).finished
    assert finished.outcome is Outcome.INFEASIBLE


def test_failure_tells_the_last_lines_of_its_traceback(tmp_path: Path) -> None:
    finished = train(Raising(ValueError("boom")), tmp_path).finished
    assert finished.reason == "ValueError: boom"
    assert finished.traceback is not None
    assert finished.traceback.endswith("ValueError: boom")
    assert "test_run.py" in finished.traceback


def test_failure_in_a_worker_names_the_error_and_not_the_worker(tmp_path: Path) -> None:
    class Broken(Noisy):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            raise KeyError(f"no picture {index % 1}")

    class BrokenData(Points):
        def train_data(self, params: Parameters) -> Dataset[Any]:
            return Broken(*points(8, seed=0))

    finished = train(BrokenData(), tmp_path, {"num_workers": 1}).finished
    assert finished.outcome is Outcome.FAILED
    assert finished.reason == "KeyError: 'no picture 0'"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_that_is_not_finite_is_divergence(tmp_path: Path, value: float) -> None:
    class Diverging(Points):
        def loss(self, outputs: Any, targets: Any) -> Tensor:
            return super().loss(outputs, targets) * value

    trained = train(Diverging(), tmp_path)
    assert trained.finished.outcome is Outcome.DIVERGED
    assert trained.finished.reason == "epoch 1: the training loss is " + str(value)
    assert trained.reports == []


def test_metric_that_is_not_finite_is_divergence(tmp_path: Path) -> None:
    class Diverging(Points):
        def metrics(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
            return {"f1": torch.tensor(math.nan)}

    finished = train(Diverging(), tmp_path).finished
    assert finished.outcome is Outcome.DIVERGED
    assert finished.reason == "epoch 1: val_f1 is nan"


def test_device_that_is_not_there_fails_in_one_line(tmp_path: Path) -> None:
    from autotune.events import TrialOrder
    from autotune.training.process.run import run_trial
    from tests.training.trials import Recorder, loaded, order

    wanted = TrialOrder(**(order(tmp_path).model_dump() | {"device": "cuda:7"}))
    finished = run_trial(wanted, task=loaded(Points()), channel=Recorder())
    assert finished.outcome is Outcome.FAILED
    assert "device: cuda:7 is not there" in str(finished.reason)


def test_setup_is_run_once_if_nobody_did(tmp_path: Path) -> None:
    class Counting(Points):
        num_setups = 0

        def setup(self) -> None:
            self.num_setups += 1

    task = Counting()
    train(task, tmp_path)
    assert task.num_setups == 1


def test_report_has_all_that_is_recorded_of_an_epoch(tmp_path: Path) -> None:
    trained = train(Points(), tmp_path, {"batch_size": 8, "lr": 0.02})
    report = trained.reports[1]
    assert report.metrics.keys() == {"train_loss", "val_loss", "val_accuracy"}
    assert [report.epoch, report.step, report.samples, report.lr] == [2, 12, NUM_TRAIN, 0.02]
    assert report.samples_per_second == pytest.approx(report.samples / report.seconds, rel=1e-9)
    assert report.step_seconds_p50 is not None
    assert report.step_seconds_p95 is not None
    assert 0 < report.step_seconds_p50 <= report.step_seconds_p95
    assert 0 < report.data_wait_share < 1
    assert report.evaluation_seconds > 0
    assert report.peak_memory_bytes > 2**20


def test_throughput_of_a_trial_leaves_its_first_epoch_out(tmp_path: Path) -> None:
    trained = train(Points(), tmp_path, {"batch_size": 8})
    steady = trained.reports[1:]
    expected = sum(report.samples for report in steady) / sum(report.seconds for report in steady)
    assert trained.finished.samples_per_second == pytest.approx(expected, rel=1e-9)


def test_progress_tells_the_epoch_and_its_share(tmp_path: Path) -> None:
    progress = train(Points(), tmp_path, {"batch_size": 8}).channel.of(Progress)
    assert progress
    assert all(1 <= event.epoch <= 3 for event in progress)
    assert all(0 <= event.fraction <= 1 for event in progress)


def test_last_batch_of_one_sample_is_left_out(tmp_path: Path) -> None:
    trained = train(Points(), tmp_path, {"batch_size": NUM_TRAIN - 1})
    assert trained.finished.outcome is Outcome.COMPLETE
    assert trained.reports[0].samples == NUM_TRAIN - 1


@pytest.mark.parametrize("accumulate", [2, 8])
def test_micro_batches_add_up_to_the_whole_batchs_gradient(tmp_path: Path, accumulate: int) -> None:
    class Plain(Points):
        def model(self, params: Parameters) -> nn.Module:
            return nn.Linear(4, 2)

    parameters: dict[str, Scalar] = {"batch_size": 16, "optimizer": "sgd", "lr": 0.1}
    whole = train(Plain(), tmp_path / "whole", parameters)
    cut = train(Plain(), tmp_path / "cut", parameters | {"accumulate": accumulate})
    assert cut.started.in_force["accumulate"] == accumulate
    for name, weight in whole.weights.items():
        torch.testing.assert_close(cut.weights[name], weight, rtol=1e-5, atol=1e-6)


class Uncounted(WeightedPoints):
    def count(self, batch: Batch) -> Tensor:
        return torch.tensor(len(batch[0]))


def test_means_over_something_else_than_samples_are_put_together_by_their_count(tmp_path: Path) -> None:
    parameters: dict[str, Scalar] = {"batch_size": 16, "optimizer": "sgd", "lr": 0.01}
    whole = train(WeightedPoints(), tmp_path / "whole", parameters)
    cut = train(WeightedPoints(), tmp_path / "cut", parameters | {"accumulate": 4})
    wrong = train(Uncounted(), tmp_path / "wrong", parameters | {"accumulate": 4})
    for name, weight in whole.weights.items():
        torch.testing.assert_close(cut.weights[name], weight, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(wrong.weights[name], weight, rtol=1e-3)
    for report, same in zip(whole.metrics, cut.metrics, strict=True):
        assert same == pytest.approx(report, rel=1e-5)
    # One batch of all validation data says what several add up to.
    at_once = train(WeightedPoints(), tmp_path / "once", parameters | {"validation_batch_size": NUM_VALIDATION})
    parts = train(WeightedPoints(), tmp_path / "parts", parameters | {"validation_batch_size": 3})
    assert parts.metrics[-1] == pytest.approx(at_once.metrics[-1], rel=1e-6)


class Computing(Dataset[tuple[Tensor, Tensor]]):
    """Computes its samples by what autocast takes hold of."""

    def __len__(self) -> int:
        return NUM_VALIDATION

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        inputs, labels = points(NUM_VALIDATION, seed=1)
        return torch.eye(4) @ inputs[index], labels[index]


class ComputingPoints(Points):
    def __init__(self) -> None:
        self.seen: list[tuple[torch.dtype, bool]] = []

    def train_data(self, params: Parameters) -> Dataset[Any]:
        return Computing()

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return Computing()

    def forward(self, model: nn.Module, batch: Batch) -> tuple[Any, Any]:
        inputs, targets = batch
        self.seen.append((inputs.dtype, inputs.is_inference()))
        outputs = model(inputs)
        assert outputs.dtype == torch.bfloat16
        return outputs, targets


@pytest.mark.parametrize("cache", ["off", "memory"])
def test_samples_are_computed_in_full_precision_in_training_and_in_validation(tmp_path: Path, cache: str) -> None:
    task = ComputingPoints()
    train(task, tmp_path, {"precision": "bf16", "batch_size": 5, "cache": cache}, epochs=1)
    assert task.seen == [(torch.float32, False)] * 4


def test_gradient_clip_limits_each_step(tmp_path: Path) -> None:
    parameters: dict[str, Scalar] = {"optimizer": "sgd", "lr": 1.0, "batch_size": 64, "gradient_clip": 1e-6}
    one = train(Points(), tmp_path / "one", parameters, epochs=1).weights
    two = train(Points(), tmp_path / "two", parameters, epochs=2).weights
    moved = math.sqrt(
        sum(
            float((two[name] - one[name]).pow(2).sum())
            for name in one
            if "running" not in name and "num_batches" not in name
        )
    )
    assert 0 < moved < 1.1e-6


def test_metric_that_is_no_mean_over_samples_has_an_evaluate_of_its_own(tmp_path: Path) -> None:
    class Counted(Points):
        def evaluate(self, model: nn.Module, batches: Any) -> dict[str, float]:
            return {"loss": 0.5, "num_batches": float(sum(1 for _ in batches))}

    trained = train(Counted(), tmp_path, {"batch_size": 4})
    assert trained.metrics[0].keys() == {"train_loss", "val_loss", "val_num_batches"}
    assert trained.metrics[0]["val_num_batches"] == 3


def test_task_may_bring_its_own_optimizer(tmp_path: Path) -> None:
    class Own(Points):
        def optimizer(self, model: nn.Module, params: Parameters) -> torch.optim.Optimizer:
            return torch.optim.SGD(model.parameters(), lr=0.25)

    assert train(Own(), tmp_path).reports[0].lr == 0.25


def test_task_may_collate_and_unpack_its_own_batches(tmp_path: Path) -> None:
    class Named(Points):
        def collate(self, samples: list[Any]) -> dict[str, Tensor]:
            return {"x": torch.stack([x for x, _ in samples]), "y": torch.stack([y for _, y in samples])}

        def forward(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
            return model(batch["x"]), batch["y"]

    ours = train(Named(), tmp_path / "named", {"num_workers": 1, "accumulate": 2, "batch_size": 8})
    assert ours.finished.outcome is Outcome.COMPLETE
    plain = train(Points(), tmp_path / "plain", {"num_workers": 1, "accumulate": 2, "batch_size": 8})
    assert ours.metrics == plain.metrics


def test_empty_dataset_fails_in_one_line(tmp_path: Path) -> None:
    class Empty(Points):
        def train_data(self, params: Parameters) -> Dataset[Any]:
            return Noisy(*points(0, seed=0))

    finished = train(Empty(), tmp_path).finished
    assert finished.reason == f"{TaskError.__name__}: Noisy: a dataset needs at least one sample, got 0"


@pytest.mark.parametrize(
    ("error", "is_out_of_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("This might be caused by insufficient shared memory (shm)."), False),
        (InfeasibleError("the kernel is larger than the picture"), False),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Killed."), False),
        (ValueError("boom"), False),
    ],
)
def test_only_the_devices_own_memory_teaches_about_larger_batches(
    tmp_path: Path, error: BaseException, *, is_out_of_memory: bool
) -> None:
    assert train(Raising(error), tmp_path).finished.is_out_of_memory is is_out_of_memory


def train_as_on_a_gpu(error: BaseException, folder: Path, monkeypatch: pytest.MonkeyPatch, *, free: int) -> Finished:
    """On the CPU in fact; the GPU has 80 GiB, of which this process holds ten."""
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr("autotune.training.process.run.open_device", lambda _: torch.device("cpu"))
    monkeypatch.setattr("autotune.training.process.run.memory_at", lambda error, device: memory_at(error, device=gpu))  # noqa: ARG005
    monkeypatch.setattr("autotune.training.machine.crowding.open_nvml", lambda _: (None, None))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 10 * 2**30)
    on_gpu = order(folder).model_copy(update={"device": "cuda:0"})
    return run_trial(on_gpu, task=loaded(Raising(error)), channel=Recorder())


CUDNN_9 = RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")
ASYNC = torch.OutOfMemoryError(
    "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
    "Currently allocated     : 10.00 GiB\nRequested               : 75.00 GiB"
)


@pytest.mark.parametrize(
    ("error", "free", "outcome", "is_crowded", "shortage"),
    [
        (CUDNN_9, 2**28, Outcome.INTERRUPTED, True, None),
        (CUDNN_9, 69 * 2**30, Outcome.INFEASIBLE, False, "device"),
        (RuntimeError("Triton Error [CUDA]: out of memory"), 2**28, Outcome.INTERRUPTED, True, None),
        (ASYNC, 2**28, Outcome.INFEASIBLE, False, "device"),
        (MemoryError(), 2**28, Outcome.INFEASIBLE, False, "host"),
    ],
    ids=["crowd", "limit", "crowd for Triton", "more than the device has", "host"],
)
def test_beside_a_gpu_a_crowd_a_limit_and_the_hosts_memory_are_told_apart(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    free: int,
    outcome: Outcome,
    shortage: str | None,
    *,
    is_crowded: bool,
) -> None:
    """A crowd was a limit, learned for the whole study, and a convolution without room a failure."""
    finished = train_as_on_a_gpu(error, tmp_path, monkeypatch, free=free)
    assert (finished.outcome, finished.is_crowded, finished.shortage) == (outcome, is_crowded, shortage)
    assert finished.is_out_of_memory is (shortage == "device")


class Words(Points):
    def __init__(self, *, sparse: bool) -> None:
        self.sparse = sparse

    def train_data(self, params: Parameters) -> Dataset[Any]:
        return TensorDataset(torch.arange(12).view(6, 2), torch.arange(6) % 2)

    def validation_data(self, params: Parameters) -> Dataset[Any]:
        return self.train_data(params)

    def model(self, params: Parameters) -> nn.Module:
        return nn.EmbeddingBag(12, 2, sparse=self.sparse)


def uncompilable(*_: object, **__: object) -> Any:
    raise NotImplementedError("no such operation")


@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        (Words(sparse=False), {"optimizer": "sparse_adam"}),
        (Words(sparse=True), {"optimizer": "adam"}),
        (Words(sparse=True), {"optimizer": "sgd", "optimizer_impl": "fused"}),
        (Points(), {"batch_size": 1}),
    ],
    ids=["dense gradients", "sparse gradients", "sparse gradients, fused", "batchnorm over one sample"],
)
def test_combination_that_torch_can_not_train_is_infeasible(
    tmp_path: Path, task: Points, parameters: dict[str, Scalar]
) -> None:
    """The sampler learns nothing from failures, and would propose it again and again."""
    finished = train(task, tmp_path, parameters).finished
    assert finished.outcome is Outcome.INFEASIBLE, finished
    assert not finished.is_out_of_memory


@pytest.mark.usefixtures("fresh_compiler")
def test_model_that_can_not_be_compiled_is_infeasible(tmp_path: Path) -> None:
    class Uncompilable(Points):
        def model(self, params: Parameters) -> nn.Module:
            model = super().model(params)
            model.compile = lambda **_: nn.Module.compile(model, backend=uncompilable)  # type: ignore[method-assign]
            return model

    finished = train(Uncompilable(), tmp_path, {"compile": "default"}).finished
    assert finished.outcome is Outcome.INFEASIBLE, finished
    assert str(finished.reason).startswith("BackendCompilerFailed: ")


@pytest.mark.parametrize("message", ["CUDA error: out of memory", "CUDA out of memory. Tried to allocate 2.00 MiB"])
def test_trial_that_finds_its_device_full_as_it_begins_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    """It failed as if there were no such device, and three of them stopped the study."""

    def full(*size: int, device: str) -> Tensor:
        del size, device
        raise torch.OutOfMemoryError(message)

    monkeypatch.setattr(torch, "empty", full)
    on_gpu = order(tmp_path).model_copy(update={"device": "cuda:0"})
    finished = run_trial(on_gpu, task=loaded(Points()), channel=Recorder())
    assert (finished.outcome, finished.is_crowded, finished.is_out_of_memory) == (Outcome.INTERRUPTED, True, False)
    assert finished.reason is not None
    assert finished.reason.startswith("device: cuda:0 must have room for a process to begin, got none")
