"""The trial as user code sees it; our own loop is written on nothing else."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import Dataset

from autotune.events import Outcome, TrialOrder, Unsaved
from autotune.training.batches import Batch, Count, count_samples, mover
from autotune.training.checkpoints.checkpoint import Checkpoint, Stateful
from autotune.training.checkpoints.saving import Saver
from autotune.training.data.loader import BatchLoader, Collate, LoaderOptions
from autotune.training.failures import DivergedError, InfeasibleError
from autotune.training.parameters import Parameters
from autotune.training.reporting.channel import Channel
from autotune.training.reporting.divergence import LossWatch
from autotune.training.reporting.in_force import InForce
from autotune.training.reporting.meter import Meter, count_batches
from autotune.training.reporting.reports import Reports
from autotune.training.steps.accumulation import Accumulator, Loss, MicroBatches
from autotune.training.steps.host_state import HostState
from autotune.training.steps.models import count_parameters, model_knobs_in_force, prepare_model
from autotune.training.steps.optimizers import implementation_in_force, learning_rate, make_optimizer
from autotune.training.steps.pacing import Pacer
from autotune.training.steps.precision import Precision
from autotune.training.steps.schedules import make_scheduler
from autotune.training.steps.step_graph import Step
from autotune.training.steps.stepping import Stepper


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
    ``accumulator``, ``backward`` and ``step`` apply the parameters of their names. Call those of them that are
    used before the first batch, so that what is in force is recorded.

    Attributes:
        params: The parameters that are active in this trial.
        number: The trial's number in its study.
        seed: Everything random in the trial derives from it; the generators are seeded already.
        epochs: Epochs of a whole run; it may end before, when ``should_stop`` says so.
        device: Where to train.
        folder: The trial's own folder, for files of the task.
        checkpoint: Saves and restores.
    """

    def __init__(self, order: TrialOrder, *, device: torch.device, channel: Channel, process_started: float) -> None:
        self.params = Parameters(order.parameters)
        self.number = order.number
        self.seed = order.seed
        self.epochs = order.epochs
        self.device = device
        self.folder = Path(order.folder)
        self._channel = channel
        self._in_force = InForce(channel, device=device, process_started=process_started)
        self._meter = Meter(device=device, on_first_batch=self.begin, on_progress=channel.send)
        self._reports = Reports(order, meter=self._meter, device=device)
        self._is_over = False
        # Looked up behind params' back, as cuda_graph is: it counts as read when a loop asks for autocast.
        self._precision = Precision(str(order.parameters.get("precision", "fp32")), device=device)
        wants_graph = bool(order.parameters.get("cuda_graph", False)) and device.type == "cuda"
        self._stepper = Stepper(self.params, scaler=self._precision.scaler, wants_graph=wants_graph)
        own: dict[str, Stateful] = {"meter": self._meter, "reports": self._reports}
        if self._precision.scaler is not None:
            own["scaler"] = self._stepper
        self._cut = MicroBatches(order.parameters.get("accumulate", 1))
        if self._cut.is_auto:
            own["micro_batches"] = self._cut
        path = self.folder / "checkpoint.pt"
        saver = Saver(
            path, max_bytes=order.max_checkpoint_bytes, tell=lambda problem: channel.send(Unsaved(problem=problem))
        )
        self.checkpoint = Checkpoint(
            path, saver=saver, device=device, own=own, place=self._meter, is_wanted=self._goes_on_later
        )
        self._has_seen_stop = False
        self._loss_watch = LossWatch()
        self._pacer: Pacer | None = None

    def pace(self, pacer: Pacer) -> None:
        """Train for a race: the pacer decides what comes next, no checkpoint is written, divergence is no matter."""
        self._pacer = self._meter.pacer = self._stepper.pacer = pacer
        self.checkpoint.forgo()

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

        Validation data has a batch size of its own where ``validation_batch_size`` gives one.

        Training data is shuffled by the seed and the epoch; its loader times the epoch, and goes
        on inside one after a resume. Use one training loader a trial.
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
            meter=self._meter,
            device=self.device,
            change=change,
            collate=collate,
        )
        if train:
            self._in_force.note(**loader.in_force)
            self._cut.expect(loader.batch_size)
        else:
            self._in_force.note(validation_batch_size=loader.batch_size)
        return loader

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches of a training loader of one's own, with throughput and data wait measured."""
        return self._meter.watch(batches, num_batches=count_batches(batches))

    def prepare(self, model: nn.Module) -> nn.Module:
        """The model on the device, in the memory format and with the compilation that are asked for."""
        mode = str(self.params.get("compile", "off"))
        model = prepare_model(
            model,
            device=self.device,
            compile_mode=mode,
            channels_last=bool(self.params.get("channels_last", False)),
            channels_last_3d=bool(self.params.get("channels_last_3d", False)),
        )
        self._in_force.note(**model_knobs_in_force(model, compile_mode=mode))
        self._in_force.num_parameters = count_parameters(model)
        return model

    def optimizer(self, model: nn.Module) -> Optimizer:
        """The optimizer that the parameters name, over the model's trainable parameters."""
        optimizer = make_optimizer(model, self.params, is_recorded=self._stepper.wants_graph)
        self._in_force.note(optimizer_impl=implementation_in_force(optimizer, device=self.device))
        return optimizer

    def scheduler(self, optimizer: Optimizer, *, steps_per_epoch: int) -> LRScheduler:
        """The schedule that the parameters name, to be stepped after each optimizer step; make it before restoring."""
        total_steps = self.epochs * steps_per_epoch
        ending = self._reports.ending
        share = (lambda: ending.share) if ending.has_limit else None
        return make_scheduler(optimizer, params=self.params, total_steps=total_steps, share=share)

    def autocast(self) -> AbstractContextManager[object]:
        """The context for forward pass and loss; make it once and enter it at each step."""
        self.params.get("precision")
        self._in_force.note(precision=self._precision.in_force)
        return self._precision.autocast()

    def training_step(
        self, model: nn.Module, loss: Loss, optimizer: Optimizer, *, count: Count = count_samples
    ) -> Step:
        """What trains on a batch and returns its mean loss: gradient, clipping, the optimizer; make it once.

        Like ``accumulator`` with ``step`` after it, where nothing is to be done between the two. With
        ``cuda_graph`` it is recorded as one CUDA graph, where device, optimizer and precision can be::

            take_step = trial.training_step(model, lambda batch: criterion(model(batch[0]), batch[1]), optimizer)
            for batch in loader:
                loss = take_step(batch)

        The loss stays on the device, and is good until the next call. What a schedule or the loop sets in the
        optimizer holds from then on; where that is more than ``lr`` at each step, nothing is recorded, which is told.
        """
        gradient = self.accumulator(model, loss, count=count)
        self.params.get("cuda_graph")
        is_recorded = self._stepper.can_record(optimizer) and not self._cut.is_auto
        self._in_force.note(cuda_graph=is_recorded)
        host = HostState(model, loss) if is_recorded else None
        return self._stepper.whole(gradient, optimizer, host=host, on_refusal=self._record_nothing)

    @property
    def will_record(self) -> bool:
        """The next step is recorded, or comes before one that is: those that follow are faster."""
        return self._stepper.will_record

    def accumulator(self, model: nn.Module, loss: Loss, *, count: Count = count_samples) -> Accumulator:
        """What computes a batch's gradient, in as many micro-batches as ``accumulate`` says; make it once.

        ``loss`` takes a batch or a part of one to its mean loss, ``count`` to the number of values that this is the
        mean of, where these are not the samples but, say, tokens. ``trial.step`` follows each call::

            gradient = trial.accumulator(model, lambda batch: criterion(model(batch[0]), batch[1]))
            for batch in loader:
                loss = gradient(batch)
                trial.step(optimizer)
        """
        self.params.get("accumulate")
        self._in_force.follow("accumulate", lambda: self._cut.number)
        return Accumulator(
            self._cut,
            model=model,
            loss=loss,
            count=count,
            backward=self.backward,
            device=self.device,
            on_cut=self.adjust,
        )

    def backward(self, loss: Tensor) -> None:
        """``loss.backward()``, scaled where fp16 needs it."""
        self._stepper.backward(loss)

    def step(self, optimizer: Optimizer) -> None:
        """Clip the gradients to ``gradient_clip`` where that is set, step, and clear them."""
        self._stepper.step(optimizer)

    def check(self, loss: Tensor) -> None:
        """Look about once a second whether the loss is finite; each look waits for the device.

        Raises:
            DivergedError: It is not.
        """
        try:
            self._loss_watch.check(loss, epoch=self._meter.epochs_done + 1)
        except DivergedError:
            if self._pacer is None:  # a race wants to know how fast, and trains on one batch again and again
                raise

    def report(self, epoch: int, **metrics: float | Tensor) -> None:
        """Tell the metrics of a finished epoch, counted from 1; saves what ``checkpoint`` remembers.

        The checkpoint is written first, so that a report that was sent is never trained again;
        both happen beside the training that goes on. Where the disk takes none, training goes on
        without, and the study says so.

        Raises:
            DivergedError: A metric is NaN or infinite.
            TaskError: The epoch does not follow the last one, or an objective's metric is missing.
        """
        self.begin()
        report = self._reports.add(epoch, metrics, lr=learning_rate(self.checkpoint.objects.values()))
        self._is_over = self._reports.is_last
        self._stepper.look_again()
        self.checkpoint.save_behind(then=lambda: self._channel.send(report))

    def should_stop(self) -> bool:
        """Whether to return now: the trial has what it was for, is pruned, or is to go on later.

        Costs nothing to ask.
        """
        if self._is_over:
            return True
        if self._channel.stop is None:
            return False
        self._has_seen_stop = True
        return True

    @property
    def has_seen_stop(self) -> bool:
        """``should_stop`` has answered yes."""
        return self._has_seen_stop

    def is_used_up(self) -> bool:
        """The trial has had its seconds or samples: evaluate, report the epoch as it is, and return."""
        return self._reports.ending.share >= 1

    @property
    def is_over(self) -> bool:
        """It was trained to its end: its epochs, its seconds or samples, or until it saw its targets."""
        return self.epochs_done >= self.epochs or self._reports.is_last

    @property
    def reason_to_prune(self) -> str | None:
        """Why it is not complete although it is over: the target that it never saw."""
        return self._reports.reason_to_prune

    @property
    def epochs_done(self) -> int:
        """Epochs that were reported, those of earlier processes too."""
        return self._meter.epochs_done

    @property
    def samples_per_second(self) -> float | None:
        """Throughput over the steady part; None where no epoch was watched."""
        return self._reports.steady_samples_per_second

    def adjust(self, reason: str) -> None:
        """Tell what is in force now, and why it is something else than before."""
        self._in_force.adjust(reason)

    def begin(self) -> None:
        """Tell, once, that training starts, and again what earlier processes reported."""
        if self._in_force.begin(epochs_done=self._meter.epochs_done, reports=self._reports.all):
            self._is_over = self._reports.is_last

    def _record_nothing(self, reason: str) -> None:
        if self._pacer is not None:  # a race asks whether it can be recorded
            raise InfeasibleError(reason)
        self._in_force.note(cuda_graph=False)
        self.adjust(reason)

    def _goes_on_later(self) -> bool:
        stop = self._channel.stop
        return stop is None or stop.outcome is not Outcome.PRUNED
