"""The trial as user code sees it."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset

from autotune.training.batches import Batch, Count, count_samples, mover
from autotune.training.data.loader import BatchLoader, Collate, LoaderOptions
from autotune.training.failures import DivergedError
from autotune.training.reporting.divergence import LossWatch
from autotune.training.reporting.meter import count_batches
from autotune.training.steps.accumulation import Accumulator, Loss
from autotune.training.steps.host_state import HostState
from autotune.training.steps.models import count_parameters, model_knobs_in_force, prepare_model
from autotune.training.steps.optimizers import implementation_in_force, make_optimizer
from autotune.training.steps.schedules import make_scheduler
from autotune.training.steps.step_graph import Step
from autotune.training.trial_run import TrialRun


class Trial:
    """One training run: its parameters, and helpers that apply them.

    A training loop of one's own becomes a task by these lines::

        def train(trial):
            ...                                                               # model, optimizer, data: as before
            done = trial.checkpoint.restore(model=model, optimizer=optimizer)
            for epoch in range(done, trial.epochs):
                for images, labels in trial.watch(loader):
                    ...                                                       # as before
                trial.report(epoch + 1, val_accuracy=accuracy)
                if trial.should_stop():
                    break

    The helpers ``loader``, ``prepare``, ``optimizer``, ``scheduler``, ``autocast``, ``training_step``,
    ``accumulator``, ``backward`` and ``step`` apply the parameters that belong to them. Make what they give before
    the first batch, so that the values in force are recorded.

    Attributes:
        params: The parameters that are active in this trial.
        number: The trial's number in its study.
        seed: Everything random in the trial derives from it; the generators are seeded already.
        epochs: Epochs of a whole run, which ends earlier when ``should_stop`` says so.
        device: The device to train on.
        folder: The trial's own folder, for files of the task.
        checkpoint: Saves and restores the training; see ``checkpoint.restore``.
    """

    def __init__(self, run: TrialRun) -> None:
        """Take from the run what user code may see; the process that trains the trial makes this."""
        self.params = run.params
        self.number = run.order.number
        self.seed = run.order.seed
        self.epochs = run.order.epochs
        self.device = run.device
        self.folder = run.folder
        self.checkpoint = run.checkpoint
        self._run = run
        self._loss_watch = LossWatch()

    def loader(
        self,
        dataset: Dataset[Any],
        *,
        train: bool,
        batch_size: int | None = None,
        collate: Collate | None = None,
        drop_last: bool = False,
    ) -> BatchLoader:
        """Batches on the trial's device, with the trial's batch size, workers and pinned memory.

        Training data is shuffled by the seed and the epoch; its loader times the epoch, and goes
        on inside one after a resume. Use one training loader a trial: of two that are drawn from side by side, as in
        ``zip``, both are counted, but no race can be run. One dataset can give both parts of a sample
        (``torch.utils.data.StackDataset``).

        Args:
            dataset: The samples, with ``__len__`` and ``__getitem__``.
            train: Whether the samples are trained on.
            batch_size: Samples in a batch. If None, it is ``batch_size`` of the parameters, or for validation data
                ``validation_batch_size`` where they have a number there.
            collate: Makes a batch of samples; torch's ``default_collate`` if None.
            drop_last: Whether to leave out a last batch that is smaller than the others.
        """
        if not train and batch_size is None and (own := self.params.get("validation_batch_size", "auto")) != "auto":
            batch_size = int(own)
        options = LoaderOptions.of(self.params, device=self.device, batch_size=batch_size, drop_last=drop_last)
        change = mover(
            self.device,
            channels_last=bool(self.params.get("channels_last", False)),
            channels_last_3d=bool(self.params.get("channels_last_3d", False)),
        )
        loader = BatchLoader(
            dataset,
            options=options,
            seed=self.seed,
            is_train=train,
            meter=self._run.meter,
            device=self.device,
            change=change,
            collate=collate,
        )
        if train:
            self._run.in_force.note(**loader.in_force)
            self._run.micro_batches.expect(loader.batch_size)
        else:
            self._run.in_force.note(validation_batch_size=loader.batch_size)
        return loader

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hand on the batches of a training loader of one's own, and measure throughput and data wait.

        Raises:
            TaskError: They come from ``trial.loader``, which measures by itself, and would count twice.
        """
        return self._run.meter.watch(batches, num_batches=count_batches(batches))

    def prepare(self, model: nn.Module) -> nn.Module:
        """The model on the device, with the memory format and the compilation that the parameters ask for."""
        mode = str(self.params.get("compile", "off"))
        model = prepare_model(
            model,
            device=self.device,
            compile_mode=mode,
            channels_last=bool(self.params.get("channels_last", False)),
            channels_last_3d=bool(self.params.get("channels_last_3d", False)),
        )
        self._run.in_force.note(**model_knobs_in_force(model, compile_mode=mode))
        self._run.in_force.num_parameters = count_parameters(model)
        return model

    def optimizer(self, model: nn.Module) -> Optimizer:
        """The optimizer that the parameters name, over the model's trainable parameters."""
        optimizer = make_optimizer(model, self.params, is_recorded=self._run.stepper.wants_graph)
        self._run.in_force.note(optimizer_impl=implementation_in_force(optimizer, device=self.device))
        return optimizer

    def scheduler(self, optimizer: Optimizer, *, steps_per_epoch: int) -> LRScheduler:
        """The schedule that the parameters name, to be stepped after each optimizer step; make it before restoring."""
        total_steps = self.epochs * steps_per_epoch
        ending = self._run.reports.ending
        share = (lambda: ending.share) if ending.has_limit else None
        return make_scheduler(optimizer, params=self.params, total_steps=total_steps, share=share)

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward pass and loss; make it once and enter it at each step."""
        self._count_as_read("precision")
        self._run.in_force.note(precision=self._run.precision.in_force)
        return self._run.precision.autocast()

    def training_step(
        self, model: nn.Module, loss: Loss, optimizer: Optimizer, *, count: Count = count_samples
    ) -> Step:
        """A function that trains on a batch and returns its mean loss; make it once.

        It is ``accumulator`` with ``step`` after it, for a loop that does nothing between the two. With
        ``cuda_graph`` it is recorded as one CUDA graph, if device, optimizer and precision allow that::

            take_step = trial.training_step(model, lambda batch: criterion(model(batch[0]), batch[1]), optimizer)
            for batch in loader:
                loss = take_step(batch)

        The loss stays on the device, and is overwritten by the next call. What a schedule or the loop sets in the
        optimizer holds from then on. If that is more than ``lr`` at each step, nothing is recorded, which is told.
        """
        gradient = self.accumulator(model, loss, count=count)
        self._count_as_read("cuda_graph")
        is_recorded = self._run.stepper.can_record(optimizer) and not self._run.micro_batches.is_auto
        self._run.in_force.note(cuda_graph=is_recorded)
        host = HostState(model, loss) if is_recorded else None
        return self._run.stepper.whole(gradient, optimizer, host=host, on_refusal=self._run.record_nothing)

    def accumulator(self, model: nn.Module, loss: Loss, *, count: Count = count_samples) -> Accumulator:
        """A function that computes a batch's gradient, in as many micro-batches as ``accumulate`` says; make it once.

        ``loss`` gives the mean loss of a batch or a part of one. ``count`` gives the number of values that this is
        the mean of, where these are not samples but, for example, tokens. ``trial.step`` follows each call::

            gradient = trial.accumulator(model, lambda batch: criterion(model(batch[0]), batch[1]))
            for batch in loader:
                loss = gradient(batch)
                trial.step(optimizer)
        """
        self._count_as_read("accumulate")
        self._run.in_force.follow("accumulate", lambda: self._run.micro_batches.number)
        return Accumulator(
            self._run.micro_batches,
            model=model,
            loss=loss,
            count=count,
            backward=self.backward,
            device=self.device,
            on_cut=self._run.in_force.adjust,
        )

    def backward(self, loss: Tensor) -> None:
        """Call ``loss.backward()``, on a scaled loss where fp16 needs that."""
        self._run.stepper.backward(loss)

    def step(self, optimizer: Optimizer) -> None:
        """Clip the gradients to ``gradient_clip`` where that is set, step, and clear them."""
        self._run.stepper.step(optimizer)

    def check(self, loss: Tensor) -> None:
        """Look about once a second whether the loss is finite; each look waits for the device.

        Raises:
            DivergedError: The loss is NaN or infinite.
        """
        try:
            self._loss_watch.check(loss, epoch=self._run.meter.epochs_done + 1)
        except DivergedError:
            if self._run.pacer is None:  # a race wants to know how fast, and trains on one batch again and again
                raise

    def report(self, epoch: int, **metrics: float | Tensor) -> None:
        """Tell the metrics of a finished epoch, counted from 1, and save what ``checkpoint`` remembers.

        The checkpoint is written before the report is sent, so that a reported epoch is never trained again;
        both happen while training goes on. Where the disk takes no checkpoint, training goes on without one,
        and the study says so.

        Raises:
            DivergedError: A metric is NaN or infinite.
            TaskError: The epoch does not follow the last one, or an objective's metric is missing.
        """
        self._run.report(epoch, metrics)

    def should_stop(self) -> bool:
        """Whether to return now: the trial has what it was started for, is pruned, or is to go on later.

        The answer costs next to nothing, so a loop may ask at every step.
        """
        return self._run.should_stop()

    def is_used_up(self) -> bool:
        """Whether the trial has had its seconds or samples: if so, evaluate, report the epoch as it is, and return."""
        return self._run.reports.ending.share >= 1

    @property
    def epochs_done(self) -> int:
        """The number of epochs that were reported, in earlier processes, too."""
        return self._run.meter.epochs_done

    def _count_as_read(self, name: str) -> None:
        """The loop has asked for what applies the parameter; its value was taken from the order."""
        self.params.get(name)
