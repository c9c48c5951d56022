"""What is in force in a trial, told before its first batch and again whenever that changes."""

import time
from collections.abc import Callable

import torch

from autotune.events import Adjusted, EpochReport, Scalar, Started
from autotune.training.machine.process_knobs import process_knobs_in_force
from autotune.training.reporting.channel import Channel


class InForce:
    """Collects what the trial's helpers have put in force, as torch says it is, and tells it.

    Args:
        channel: Where the values are told; the set-up counts from when it was opened.
        device: Where the trial trains.
    """

    def __init__(self, channel: Channel, *, device: torch.device) -> None:
        self.num_parameters: int | None = None
        """Number of the model's trainable parameters, once it is prepared."""
        self._channel = channel
        self._device = device
        self._noted: dict[str, Scalar] = {}
        self._followed: dict[str, Callable[[], Scalar]] = {}
        self._is_told = False

    def note(self, **values: Scalar) -> None:
        """Remember these values, by the names of their parameters, until they are told."""
        self._noted |= values

    def follow(self, name: str, read: Callable[[], Scalar]) -> None:
        """Read this parameter's value when it is told; a restored checkpoint and the training itself may change it."""
        self._followed[name] = read

    def begin(self, *, epochs_done: int, reports: tuple[EpochReport, ...]) -> bool:
        """Tell that training starts, and the reports of earlier processes; returns False where that was told before."""
        if self._is_told:
            return False
        self._is_told = True
        self._channel.send(
            Started(
                in_force=self._all,
                device=str(self._device),
                epochs_done=epochs_done,
                setup_seconds=time.monotonic() - self._channel.opened_at,
                num_parameters=self.num_parameters,
            )
        )
        for report in reports:
            self._channel.send(report)
        return True

    def adjust(self, reason: str) -> None:
        """Tell the values that are in force now, and the reason for their change."""
        self._channel.send(Adjusted(in_force=self._all, reason=reason))

    @property
    def _all(self) -> dict[str, Scalar]:
        """All values that are in force now, by name."""
        followed = {name: read() for name, read in self._followed.items()}
        return process_knobs_in_force(self._device) | self._noted | followed
