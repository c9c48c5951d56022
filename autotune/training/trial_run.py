"""What stands behind a Trial: how the process that trains it measures, reports, saves and ends it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from autotune.events import Outcome, Scalar, TrialOrder, Unsaved
from autotune.training.checkpoints.checkpoint import Checkpoint, Stateful
from autotune.training.checkpoints.saving import Saver
from autotune.training.failures import InfeasibleError
from autotune.training.parameters import Parameters
from autotune.training.reporting.channel import Channel
from autotune.training.reporting.in_force import InForce
from autotune.training.reporting.meter import Meter
from autotune.training.reporting.reports import Reports
from autotune.training.steps.accumulation import MicroBatches
from autotune.training.steps.optimizers import learning_rate
from autotune.training.steps.pacing import Pacer
from autotune.training.steps.precision import Precision
from autotune.training.steps.stepping import Stepper

AwaitTurn: TypeAlias = Callable[[tuple[str, ...] | None], Mapping[str, Scalar]]
"""Waits until a trial's turn has come and the device is ready for it. Takes the names of the parameters that were asked
for, None for all, and gives all parameters as they are then."""


class TrialRun:
    """A trial as the process that trains it runs it; user code gets the Trial that is made of it.

    Attributes:
        order: What to train.
        params: The trial's active parameters; they remember which of them were read.
        device: Where the trial is trained.
        folder: The trial's own folder.
        in_force: Tells which values of the knobs hold.
        meter: Measures the epochs.
        reports: The epochs that were reported.
        precision: The digits that ``autocast`` computes with.
        micro_batches: How a batch is cut.
        stepper: Steps the optimizer.
        checkpoint: Saves and restores.
        pacer: Decides in a race what is trained next; None in a trial.
    """

    def __init__(
        self,
        order: TrialOrder,
        *,
        device: torch.device,
        channel: Channel,
        await_turn: AwaitTurn | None = None,
    ) -> None:
        """Set up what needs neither data nor model.

        Args:
            order: What to train.
            device: Where.
            channel: Where events go, and where the wish to stop comes from.
            await_turn: Waits until the trial's turn has come; see the method of this name.
        """
        self.order = order
        self.params = Parameters(order.parameters)
        self.device = device
        self.folder = Path(order.folder)
        self._channel = channel
        self.in_force = InForce(channel, device=device)
        self.meter = Meter(device=device, on_first_batch=self.begin, on_progress=channel.send)
        self.reports = Reports(order, meter=self.meter, device=device)
        # These three count as read only where the loop asks for what applies them.
        self.precision = Precision(str(self.params.peek("precision", default="fp32")), device=device)
        self.micro_batches = MicroBatches(self.params.peek("accumulate", default=1))
        wants_graph = bool(self.params.peek("cuda_graph", default=False)) and device.type == "cuda"
        self.stepper = Stepper(self.params, scaler=self.precision.scaler, wants_graph=wants_graph)
        self.checkpoint = self._make_checkpoint()
        self.pacer: Pacer | None = None
        self._await_turn = await_turn
        self._is_told_last = False
        """Whether the newest report is the trial's last, as far as its loop was told."""
        self._has_seen_stop = False

    def _make_checkpoint(self) -> Checkpoint:
        own: dict[str, Stateful] = {"meter": self.meter, "reports": self.reports}
        if self.precision.scaler is not None:
            own["scaler"] = self.stepper
        if self.micro_batches.is_auto:
            own["micro_batches"] = self.micro_batches
        path = self.folder / "checkpoint.pt"
        saver = Saver(path, max_bytes=self.order.max_checkpoint_bytes, tell=self._tell_unsaved)
        return Checkpoint(
            path,
            saver=saver,
            device=self.device,
            own=own,
            place=self.meter,
            goes_on_after=self._goes_on_after,
            is_wanted=self._goes_on_later,
        )

    def _tell_unsaved(self, problem: str | None) -> None:
        self._channel.send(Unsaved(problem=problem))

    def _goes_on_after(self) -> int:
        """The epochs that a restored training leaves out: all, where it was over when its process died untold."""
        return self.order.epochs if self.is_over else self.meter.epochs_done

    def _goes_on_later(self) -> bool:
        """Whether a later process may need a checkpoint: the trial is not to be pruned."""
        stop = self._channel.stop
        return stop is None or stop.outcome is not Outcome.PRUNED

    def pace(self, pacer: Pacer) -> None:
        """Train for a race: the pacer decides what is trained next, no checkpoint is written, divergence is ignored."""
        self.pacer = self.meter.pacer = self.stepper.pacer = pacer
        self.checkpoint.forgo()

    @property
    def is_on_standby(self) -> bool:
        """Whether the process was started before its trial's turn, which has not come."""
        return self._await_turn is not None

    def await_turn(self) -> None:
        """Wait, in a process that was started before its trial's turn, until that comes; else do nothing.

        Another trial is training meanwhile: what is done before takes few cores, and nothing of a GPU. Parameters that
        nobody has asked for until then may have other values afterwards, since the sampler learns from that trial.
        """
        if self._await_turn is not None:
            parameters = self._await_turn(self.params.asked)
            self._await_turn = None
            self.params.become(parameters)
            self.order = self.order.model_copy(update={"parameters": dict(parameters)})

    def begin(self) -> None:
        """Tell that training starts, and the reports of earlier processes; a second call does nothing."""
        self.meter.device_watch.open()  # before the first batch is asked for, and the clock starts
        if self.in_force.begin(epochs_done=self.meter.epochs_done, reports=self.reports.all):
            self._is_told_last = self.reports.is_last

    def report(self, epoch: int, metrics: Mapping[str, float | Tensor]) -> None:
        """Write the checkpoint and send the epoch's report, both beside the training; ``Trial.report`` says more.

        Raises:
            DivergedError: A metric is NaN or infinite.
            TaskError: The epoch does not follow the last one, or an objective's metric is missing.
        """
        self.begin()
        report = self.reports.add(epoch, metrics, lr=learning_rate(self.checkpoint.objects.values()))
        self._is_told_last = self.reports.is_last
        self.stepper.look_again()
        self.checkpoint.save_behind(then=lambda: self._channel.send(report))

    def should_stop(self) -> bool:
        """Whether the loop is to return now; asked at every step, so it costs nothing."""
        if self._is_told_last:
            return True
        if self._channel.stop is None:
            return False
        self._has_seen_stop = True
        return True

    @property
    def has_seen_stop(self) -> bool:
        """Whether the loop was told that the coordinator wants it to stop."""
        return self._has_seen_stop

    @property
    def is_over(self) -> bool:
        """Whether the trial was trained to its end: all its epochs, seconds or samples, or until it saw its targets."""
        return self.meter.epochs_done >= self.order.epochs or self.reports.is_last

    @property
    def will_record(self) -> bool:
        """Whether the next step is recorded, or comes before one that is: later steps are faster then."""
        return self.stepper.will_record

    def record_nothing(self, reason: str) -> None:
        """Tell that steps are not recorded, and why.

        Raises:
            InfeasibleError: It is a race, which asks whether they can be recorded.
        """
        if self.pacer is not None:
            raise InfeasibleError(reason)
        self.in_force.note(cuda_graph=False)
        self.in_force.adjust(reason)
