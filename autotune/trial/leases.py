"""Who trains where: devices and cores, leased to one trial each."""

from collections.abc import Sequence
from dataclasses import dataclass

from autotune.errors import DeviceError
from autotune.hardware import TorchFacts


@dataclass(frozen=True)
class Lease:
    """A device and cores that one trial has to itself until they are released."""

    device: str
    """As the trial names it: ``cpu``, or ``cuda:0`` for the one device that it sees."""
    visible_devices: str | None
    """CUDA_VISIBLE_DEVICES of the trial; None leaves the variable as it is."""
    cores: tuple[int, ...]
    """CPU cores; empty where the system has no affinity."""


class DevicePool:
    """Leases for ``jobs`` trials at once: cores shared evenly, one job a GPU in turn.

    Raises DeviceError when there are fewer cores than jobs.
    """

    def __init__(self, devices: Sequence[str], *, cores: Sequence[int], jobs: int) -> None:
        raise NotImplementedError

    @property
    def num_cores(self) -> int:
        """Cores of the smallest lease: what a trial may count on."""
        raise NotImplementedError

    def acquire(self) -> Lease | None:
        """A lease, or None while all are out."""
        raise NotImplementedError

    def release(self, lease: Lease) -> None:
        """Take a lease back; its trial is gone."""
        raise NotImplementedError


def resolve_device(asked: str, *, facts: TorchFacts) -> str:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` means here.

    Raises DeviceError for a device that is not there.
    """
    raise NotImplementedError


def usable_cores() -> tuple[int, ...]:
    """Cores that this process may run on, in order."""
    raise NotImplementedError
