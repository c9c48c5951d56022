"""The epochs that a trial has reported, kept with its checkpoint so that none is ever lost."""

import time
from collections.abc import Mapping, Sequence
from typing import TypedDict

import torch
from torch import Tensor

from autotune.errors import TaskError
from autotune.events import EpochReport, TrialOrder
from autotune.training.machine.device import peak_memory_bytes
from autotune.training.reporting.divergence import check_finite
from autotune.training.reporting.ending import Ending
from autotune.training.reporting.meter import Meter


class ReportsState(TypedDict):
    """All reports as JSON texts."""

    reports: list[str]


class Reports:
    """The reports of a trial over all its processes, in order, and what they mean for its end."""

    def __init__(self, order: TrialOrder, *, meter: Meter, device: torch.device) -> None:
        """There is no report yet.

        Args:
            order: What is trained.
            meter: Measures the epochs; a report closes one.
            device: The device whose memory is told.
        """
        self.ending = Ending(order, clock=meter)
        self._objective_metrics = order.objective_metrics
        self._meter = meter
        self._device = device
        self._reports: list[EpochReport] = []
        self._num_earlier = 0
        """Number of the reports that earlier processes made."""

    @property
    def all(self) -> tuple[EpochReport, ...]:
        """All reports so far, those of earlier processes included."""
        return tuple(self._reports)

    @property
    def is_last(self) -> bool:
        """Whether the newest report is the trial's last, since its targets are seen or its resource is used up."""
        return self.ending.is_over(self._reports)

    @property
    def steady_samples_per_second(self) -> float | None:
        """Throughput over this process's epochs without the first, which warms up; None where no batch was watched.

        A process that has reported one epoch or none, as the successor of one that died when all epochs were done,
        takes the epochs of all processes without the trial's first, or that one if there is no other.
        """
        own, every = _watched(self._reports[self._num_earlier :]), _watched(self._reports)
        steady = own[1:] or every[1:] or every
        seconds = sum(report.seconds for report in steady)
        return sum(report.samples for report in steady) / seconds if seconds > 0 else None

    @property
    def reason_to_prune(self) -> str | None:
        """The target that the trial has not seen, in words, so that it counts as pruned if it ends here; else None."""
        return self.ending.reason_to_prune(self._reports)

    def add(self, epoch: int, metrics: Mapping[str, float | Tensor], *, lr: float | None) -> EpochReport:
        """Make the epoch's report; what is trained from now on belongs to the next epoch.

        Raises:
            DivergedError: A metric is NaN or infinite.
            TaskError: The epoch does not follow the last one, or an objective's metric is missing.
        """
        if epoch <= self._meter.epochs_done:
            raise TaskError(
                f"trial.report: epochs count from 1 and rise, got {epoch} after {self._meter.epochs_done}; "
                "report epoch + 1 in a loop that counts from 0"
            )
        report = self._make(epoch, self._checked(epoch, metrics), lr=lr)
        self._reports.append(report)
        return report

    def _checked(self, epoch: int, metrics: Mapping[str, float | Tensor]) -> dict[str, float]:
        """The metrics as numbers; raises where one is not finite or an objective's is missing."""
        values = {name: value.item() if isinstance(value, Tensor) else float(value) for name, value in metrics.items()}
        check_finite(values, epoch=epoch)
        for name in self._objective_metrics:
            if name not in values:
                known = ", ".join(sorted(values)) or "nothing"
                raise TaskError(f"objective: {name} is no metric of this task, which reports {known}")
        return values

    def _make(self, epoch: int, metrics: dict[str, float], *, lr: float | None) -> EpochReport:
        """Close the epoch, and put its measures and metrics together."""
        measures = self._meter.close_epoch(epoch)
        times = self.ending.times(metrics, earlier=self._reports, seconds=measures.trained_seconds)
        utilisation, watts = self._meter.device_watch.take()
        return EpochReport(
            epoch=epoch,
            step=measures.step,
            metrics=metrics | times,
            lr=lr,
            samples=measures.samples,
            seconds=measures.seconds,
            evaluation_seconds=measures.evaluation_seconds,
            samples_per_second=measures.samples_per_second,
            step_seconds_p50=measures.step_seconds_p50,
            step_seconds_p95=measures.step_seconds_p95,
            data_wait_share=measures.data_wait_share,
            peak_memory_bytes=peak_memory_bytes(self._device),
            device_utilisation=utilisation,
            power_watts=watts,
            trained_seconds=measures.trained_seconds,
            trained_samples=measures.trained_samples,
            at=time.time(),
        )

    def state_dict(self) -> ReportsState:
        """All reports, for the checkpoint."""
        return {"reports": [report.model_dump_json() for report in self._reports]}

    def load_state_dict(self, state: ReportsState) -> None:
        """Take the reports of earlier processes from the checkpoint."""
        self._reports = [EpochReport.model_validate_json(text) for text in state["reports"]]
        self._num_earlier = len(self._reports)


def _watched(reports: Sequence[EpochReport]) -> Sequence[EpochReport]:
    """The reports of epochs whose batches were watched."""
    return [report for report in reports if report.samples]
