"""Which proposals fit the memory there is, as a study's own trials and races on machines like this one tell."""

from collections.abc import Mapping
from dataclasses import replace

from autotune.coordinator.memory import MemoryModel, Room, Shape
from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.workloads import Workload, kept_state
from autotune.events import Scalar
from autotune.goals import BASELINE_NUMBER
from autotune.hardware import Machine, held_device_bytes
from autotune.shortages import HOST_MEMORY, Shortage
from autotune.spec.model import StudySpec
from autotune.speed.knobs.knob import Knob
from autotune.trial.leases import Lease

_WEIGHTLESS = frozenset({"in_order", "cpu_affinity", "torch_threads"})
"""Speed parameters that change no memory to speak of."""
_OF_HOST = frozenset(
    {"num_workers", "prefetch_factor", "persistent_workers", "worker_start_method", "pin_memory", "allocator"}
)
"""Speed parameters that change the host's memory, and nothing that a GPU holds."""


class Fitting:
    """Learns from trials and races, also of earlier starts and other coordinators, and refuses what will run out.

    Of two trainings that differ in anything that may change how much is held, but for the batch size, neither
    says anything of the other: a task's own knobs and what is validated with count too. Beside a GPU the host's
    memory is looked at apart. A trial whose micro-batch shrinks by itself (``accumulate: auto``) says nothing of
    others, and is never refused.
    """

    def __init__(
        self, spec: StudySpec, *, machine: Machine, knobs: Mapping[str, Knob], device: str, has_shared_devices: bool
    ) -> None:
        """Nothing is known.

        Args:
            spec: Of the study.
            machine: Where its trials run now, with the devices that they run on.
            knobs: All of them, those that the task declares too.
            device: What trials train on: ``cpu`` or ``cuda``.
            has_shared_devices: Several trials train on one device: what others hold there is not known.
        """
        self._task = spec.task
        self._machine = machine
        self._knobs = knobs
        self._has_gpu = device != "cpu"
        self._has_shared_devices = has_shared_devices
        self._device = MemoryModel()
        """What trainings hold of the device: of its GPU, or of the host where they train on the processor."""
        self._host = MemoryModel()
        """Which trainings on a GPU ran out of the host's memory; what others hold of that is not known."""

    def learn(
        self,
        number: int,
        *,
        parameters: Mapping[str, Scalar],
        peak_bytes: int | None,
        shortage: Shortage | None = None,
    ) -> None:
        """Learn from a trial that has ended.

        Args:
            number: Its number.
            parameters: All that it trained with.
            peak_bytes: What it held of its device at most; None where it reported nothing.
            shortage: What it ran out of; None where it did not, or that says nothing of its size.
        """
        if _shrinks(parameters):
            return
        batch_size = _batch_size(parameters)
        if shortage == "host" and self._has_gpu:
            self._host.add_loss(number, shape=self._whole_shape(parameters), batch_size=batch_size)
        elif shortage is not None:
            self._device.add_loss(number, shape=self._shape(parameters), batch_size=batch_size)
        elif peak_bytes is not None:
            self._device.add_peak(number, shape=self._shape(parameters), batch_size=batch_size, peak_bytes=peak_bytes)

    def learn_race(self, parameters: Mapping[str, Scalar], *, peak_bytes: int) -> None:
        """Learn what the winner of a race held at most, with its own batch or a larger one that was tried after it.

        The parameters are those that trials of that workload train with. A setting that ran out in the race says
        nothing: the workload may fit with any other, and another contestant was on the device beside it.
        """
        if not _shrinks(parameters):
            shape, batch_size = self._shape(parameters), _batch_size(parameters)
            self._device.add_raced_peak(shape=shape, batch_size=batch_size, peak_bytes=peak_bytes)

    def learn_lost_race(self, parameters: Mapping[str, Scalar], *, shortage: Shortage | None) -> None:
        """Learn that a race ran out of memory, as it began or with a larger batch that was tried after it.

        Args:
            parameters: All that trials of that workload train with.
            shortage: What it ran out of alone on its device; None, where others filled it, teaches nothing.
        """
        if shortage is None or _shrinks(parameters):
            return
        batch_size = _batch_size(parameters)
        if shortage == "host" and self._has_gpu:
            self._host.add_raced_loss(shape=self._whole_shape(parameters), batch_size=batch_size)
        else:
            self._device.add_raced_loss(shape=self._shape(parameters), batch_size=batch_size)

    def has_limit(self, parameters: Mapping[str, Scalar]) -> bool:
        """Whether trials, or two batches that trained, tell which batches of such a training fit its device."""
        return self._device.has_limit(shape=self._shape(parameters))

    def least_raced_loss(self, parameters: Mapping[str, Scalar]) -> int | None:
        """The smallest batch with which such a training ran out of its device in a race, or was tried after one."""
        return self._device.least_raced_loss(shape=self._shape(parameters))

    def raced_shortage(self, parameters: Mapping[str, Scalar]) -> Shortage | None:
        """What this very training ran out of in a race; None where it did not."""
        batch_size = _batch_size(parameters)
        if self._device.has_raced_loss(shape=self._shape(parameters), batch_size=batch_size):
            return "device"
        is_lost = self._host.has_raced_loss(shape=self._whole_shape(parameters), batch_size=batch_size)
        return "host" if is_lost else None

    def reason_not_to_launch(self, number: int, *, parameters: Mapping[str, Scalar], lease: Lease) -> str | None:
        """Why the trial will run out of memory; None where nothing says so. The baseline is always tried."""
        return None if number == BASELINE_NUMBER else self.reason_not_to_train(parameters, lease=lease)

    def reason_not_to_train(
        self, parameters: Mapping[str, Scalar], *, lease: Lease, is_alone: bool = False
    ) -> str | None:
        """Why a training will run out of memory; None where nothing says so.

        Args:
            parameters: All that it trains with.
            lease: Where.
            is_alone: As if no other process held anything of the device.
        """
        if _shrinks(parameters):
            return None
        room, batch_size = self._room(lease), _batch_size(parameters)
        room = replace(room, held_bytes=0) if is_alone else room
        reason = self._device.reason_not_to_launch(shape=self._shape(parameters), batch_size=batch_size, room=room)
        if reason is not None or not self._has_gpu:
            return reason
        host = Room(self._machine.memory_bytes)
        reason = self._host.reason_not_to_launch(shape=self._whole_shape(parameters), batch_size=batch_size, room=host)
        return None if reason is None else f"{reason} ({HOST_MEMORY})"

    def fits_alone(self, *, parameters: Mapping[str, Scalar], lease: Lease) -> bool:
        """Whether nothing says that the trial would run out if other processes held nothing of the device."""
        return self.reason_not_to_train(parameters, lease=lease, is_alone=True) is None

    def _shape(self, parameters: Mapping[str, Scalar]) -> Shape:
        """All that fixes what the device holds, less the batch size."""
        return tuple(item for item in self._whole_shape(parameters) if not (self._has_gpu and item[0] in _OF_HOST))

    def _whole_shape(self, parameters: Mapping[str, Scalar]) -> Shape:
        """All that fixes what host and device hold, less the batch size.

        A speed parameter that is at what torch does when nothing is set is left out, so that it is as if absent.
        """
        learning = {name: value for name, value in parameters.items() if name not in self._knobs}
        features = dict(Workload.of(self._task, learning, device="", num_cores=0).features)
        features.pop("batch_size", None)
        features |= dict.fromkeys(kept_state(parameters), True)
        features |= {
            name: value
            for name, value in parameters.items()
            if name in self._knobs and name not in _WEIGHTLESS and value != self._knobs[name].simplest
        }
        return tuple(sorted(features.items()))

    def _room(self, lease: Lease) -> Room:
        """The memory of the lease's device, and what others hold of it at this moment where that can be told."""
        if not lease.device.startswith("cuda"):
            return Room(self._machine.memory_bytes)  # trials can swap; only what is above all of it is hopeless
        accelerators = self._machine.torch.accelerators
        total = next(each.memory_bytes for each in accelerators if each.index == lease.accelerator)
        held = 0 if self._has_shared_devices else held_device_bytes(lease.visible_devices)
        return Room(total, held)


def make_fitting(spec: StudySpec, *, stage: Stage, jobs: int) -> Fitting:
    """A fitting for the machine of this start that has learned nothing yet; ``jobs`` trials run at once."""
    num_gpus = len(stage.machine.torch.accelerators) if stage.device == "cuda" else 0
    return Fitting(
        spec,
        machine=stage.machine,
        knobs=stage.knobs,
        device=stage.device,
        has_shared_devices=jobs > max(1, num_gpus),
    )


def _shrinks(parameters: Mapping[str, Scalar]) -> bool:
    """Whether the micro-batch becomes smaller by itself where memory runs out."""
    return parameters.get("accumulate") == "auto"


def _batch_size(parameters: Mapping[str, Scalar]) -> int:
    """The batch size among these parameters; 0 where there is none: then all trainings of one shape are as large."""
    batch_size = parameters.get("batch_size")
    return batch_size if isinstance(batch_size, int) else 0
