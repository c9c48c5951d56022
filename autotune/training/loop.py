"""The built-in training loop for Task classes, written on Trial like anyone's own."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from autotune.shortages import is_out_of_memory
from autotune.training.batches import Batch, add_times, made_outside
from autotune.training.data.loader import BatchLoader, Collate
from autotune.training.failures import one_line
from autotune.training.rng import derive_seed, seed_everything, undisturbed_rng
from autotune.training.steps.accumulation import Loss
from autotune.training.task import Task
from autotune.training.trial import Trial
from autotune.training.trial_run import TrialRun


def fit(task: Task, run: TrialRun) -> None:
    """Train the task to its end, or until the trial should stop."""
    trial = Trial(run)
    seed_everything(derive_seed(trial.seed, "data"))
    data = _Data(task, trial)
    if run.is_on_standby:
        data.train.begin_ahead()
    run.await_turn()
    seed_everything(trial.seed)  # again: whatever was drawn for the data, the weights depend on this seed alone
    loop = _Loop(task, trial, data, tell_adjusted=run.in_force.adjust)
    done = trial.checkpoint.restore(
        model=loop.model, optimizer=loop.optimizer, scheduler=loop.scheduler, train_loss=loop.train_loss
    )
    for epoch in range(done + 1, trial.epochs + 1):
        try:
            loop.train()
            if loop.train_loss.is_empty:  # its seconds or samples are used up: there is nothing to report
                return
            metrics = loop.evaluate()
        except _StopRequestedError:
            trial.checkpoint.save_inside_epoch()
            return
        trial.report(epoch, train_loss=loop.train_loss.take(), **metrics)
        if trial.should_stop():
            return


_VALIDATION_BATCHES = 4
"""Size of a validation batch in training batches, on a CUDA device. Under ``inference_mode`` no graph is kept, so that
only two layers' activations are held at a time; the larger batch fills the device better and launches fewer kernels.
On a CPU its use depends on the caches (with 4 times the batch of 64, mnist was 0.8 times as fast and mnist1d 1.4 times;
one thread of an AMD EPYC, medians of 9), so that a validation batch is as large as a training batch there."""


class _StopRequestedError(Exception):
    """The trial should stop inside an epoch."""


class _Data:
    """The loaders of a task: what can be made before the device is there."""

    def __init__(self, task: Task, trial: Trial) -> None:
        self._task = task
        self._trial = trial
        self.train = _load_training(task, trial)
        is_larger = trial.device.type == "cuda" and _is_size_ours(trial)
        self.validation = self._load_validation(self.train.batch_size * _VALIDATION_BATCHES if is_larger else None)

    @property
    def can_shrink_validation(self) -> bool:
        """Whether the size of validation batches is ours to choose, and above 1."""
        return _is_size_ours(self._trial) and self.validation.batch_size > 1

    def shrink_validation(self) -> int:
        """Halve the validation batches; gives their size."""
        size = self.validation.batch_size // 2
        self.validation = self._load_validation(size)
        return size

    def _load_validation(self, batch_size: int | None) -> BatchLoader:
        """The validation loader; a ``batch_size`` of None takes the trial's."""
        data = self._task.validation_data(self._trial.params)
        return self._trial.loader(data, train=False, batch_size=batch_size, collate=_collate_of(self._task))


class _Loop:
    """The parts of a training, and the two halves of its epochs.

    Args:
        task: What is trained.
        trial: Gives the parts that its parameters ask for.
        data: The task's.
        tell_adjusted: Hears why something in force has changed.
    """

    def __init__(self, task: Task, trial: Trial, data: _Data, *, tell_adjusted: Callable[[str], None]) -> None:
        self._task = task
        self._trial = trial
        self._data = data
        self._tell_adjusted = tell_adjusted
        self.model: nn.Module = trial.prepare(task.model(trial.params))
        own_optimizer = task.optimizer(self.model, trial.params)
        self.optimizer: Optimizer = trial.optimizer(self.model) if own_optimizer is None else own_optimizer
        self.scheduler: LRScheduler = trial.scheduler(self.optimizer, steps_per_epoch=len(data.train))
        self._autocast: AbstractContextManager[object] = trial.autocast()
        loss = _loss_of(task, self.model, self._autocast)
        self._take_step = trial.training_step(self.model, loss, self.optimizer, count=task.count)
        self.train_loss = _RunningMean(trial.device)

    def train(self) -> None:
        """Train one epoch, or what is left of it after a resume, as far as the trial's seconds or samples go."""
        trial, take_step, count = self._trial, self._take_step, self._task.count
        self.model.train()
        if trial.is_used_up():
            return
        for batch in self._data.train:
            self.train_loss.add(take_step(batch), count=count(batch))
            self.scheduler.step()
            trial.check(self.train_loss.total)
            if trial.should_stop():
                raise _StopRequestedError
            if trial.is_used_up():
                break

    def evaluate(self) -> dict[str, float]:
        """The task's validation metrics, with the names that they are recorded under.

        A validation batch whose size is ours to choose is halved until it fits in memory.
        """
        self.model.eval()
        while (values := self._attempt_evaluation()) is None:
            pass
        return {f"val_{name}": float(value) for name, value in values.items()}

    def _attempt_evaluation(self) -> Mapping[str, Tensor | float] | None:
        """The metrics; None where memory ran out, and a smaller batch is worth a try."""
        try:
            # Whatever validation draws at random, training goes on as if it had not.
            with torch.inference_mode(), self._autocast, undisturbed_rng(self._trial.device):
                return self._task.evaluate(self.model, self._stoppable(self._data.validation))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not self._data.can_shrink_validation:
                raise
            reason = one_line(error)
            traceback.clear_frames(error.__traceback__)  # they hold the activations that there was no room for
        size = self._data.shrink_validation()
        self._tell_adjusted(f"{reason}; it is evaluated {size} samples at a time")
        return None

    def _stoppable(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches, until the trial should stop."""
        for batch in made_outside(batches, device=self._trial.device):
            if self._trial.should_stop():
                raise _StopRequestedError
            yield batch


def _loss_of(task: Task, model: nn.Module, autocast: AbstractContextManager[object]) -> Loss:
    """The function from a batch to its mean loss.

    It is no method of the loop: the loop would refer to itself then, and leave its loaders to the garbage collector,
    which ends a loader's queues before its workers, and waits five seconds for each worker (torch 2.13).
    """

    def loss(batch: Batch) -> Tensor:
        with autocast:
            outputs, targets = task.forward(model, batch)
            return task.loss(outputs, targets)

    return loss


class _RunningMeanState(TypedDict):
    total: Tensor
    count: int | Tensor


class _RunningMean:
    """The mean loss over an epoch so far, added up on the device without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self.total = torch.zeros((), dtype=torch.float64, device=device)
        self._count: int | Tensor = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added since the epoch began."""
        return isinstance(self._count, int) and self._count == 0

    def add(self, value: Tensor, *, count: int | Tensor) -> None:
        """Add the mean of ``count`` more values; its graph is not kept."""
        add_times(self.total, value, count)
        self._count = self._count + count

    def take(self) -> float:
        """Return the mean, and start from nothing for the next epoch; NaN where nothing was added."""
        mean = float("nan") if self.is_empty else float(self.total) / float(self._count)
        self.total.zero_()
        self._count = 0
        return mean

    def state_dict(self) -> _RunningMeanState:
        """The sum so far, for the checkpoint."""
        return {"total": self.total, "count": self._count}

    def load_state_dict(self, state: _RunningMeanState) -> None:
        """Go on from the checkpoint's sum."""
        self.total.copy_(state["total"])
        self._count = state["count"]


def _load_training(task: Task, trial: Trial) -> BatchLoader:
    """The training loader."""
    data, collate = task.train_data(trial.params), _collate_of(task)
    loader = trial.loader(data, train=True, collate=collate)
    if loader.num_samples > 1 and loader.num_samples % loader.batch_size == 1:
        # BatchNorm can't train on a last batch of one sample, and one sample more or less is no matter.
        return trial.loader(data, train=True, collate=collate, drop_last=True)
    return loader


def _collate_of(task: Task) -> Collate | None:
    """The task's own way to make a batch of samples; None where it has none."""
    return None if type(task).collate is Task.collate else task.collate


def _is_size_ours(trial: Trial) -> bool:
    """Whether nobody has said how many samples are evaluated at once."""
    return bool(trial.params.get("validation_batch_size", "auto") == "auto")
