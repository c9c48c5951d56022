"""Which proposals fit the device's memory, as a study's own trials and races on this machine tell."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from autotune.coordinator.memory import MemoryModel, Room, Shape
from autotune.coordinator.opening.stage import Stage
from autotune.coordinator.standing import BASELINE_NUMBER
from autotune.coordinator.workloads import Workload
from autotune.events import Scalar
from autotune.hardware import Machine, held_device_bytes
from autotune.spec.model import StudySpec
from autotune.speed.racing.result import RaceResult
from autotune.trial.leases import Lease

_MEMORY_KNOBS = ("precision", "compile", "cuda_graph", "accumulate", "cache", "sdpa_backend", "optimizer_impl")
"""Speed parameters that change how much memory a step takes."""


class Fitting:
    """Learns from every trial and race, and refuses trials that are known to run out.

    A trial whose micro-batch shrinks by itself (``accumulate: auto``) says nothing of others, and is
    never refused.
    """

    def __init__(
        self, spec: StudySpec, *, machine: Machine, speed_parameters: Collection[str], has_shared_devices: bool
    ) -> None:
        """Nothing is known.

        Args:
            spec: Of the study.
            machine: Where its trials run now.
            speed_parameters: Names of all knobs, those that the task declares too.
            has_shared_devices: Several trials train on one device: what others hold there is not known.
        """
        self._task = spec.task
        # Where a race decides them, a proposal does not have them yet.
        self._knobs = _MEMORY_KNOBS if spec.speed_search.name == "joint" else ()
        self._machine = machine
        self._speed_parameters = speed_parameters
        self._has_shared_devices = has_shared_devices
        self._model = MemoryModel()

    def learn(
        self,
        number: int,
        *,
        parameters: Mapping[str, Scalar],
        peak_bytes: int | None,
        is_out_of_memory: bool,
    ) -> None:
        """What a trial that has ended held at most (None where it reported nothing), or that it ran out."""
        if _shrinks(parameters):
            return
        shape, batch_size = self._shape(parameters), _batch_size(parameters)
        if is_out_of_memory:
            self._model.add_loss(number, shape=shape, batch_size=batch_size)
        elif peak_bytes is not None:
            self._model.add_peak(number, shape=shape, batch_size=batch_size, peak_bytes=peak_bytes)

    def learn_race(self, workload: Workload, result: RaceResult) -> None:
        """What the winner of a race held at most; its workload's trials train with that setting.

        A setting that ran out in the race says nothing: the workload may fit with any other, and
        another contestant was on the device beside it.
        """
        parameters = {**workload.features, **result.setting}
        if not _shrinks(parameters):
            shape, batch_size = self._shape(parameters), _batch_size(parameters)
            self._model.add_raced_peak(shape=shape, batch_size=batch_size, peak_bytes=result.peak_memory_bytes)

    def reason_not_to_launch(self, number: int, *, parameters: Mapping[str, Scalar], lease: Lease) -> str | None:
        """Why the trial will run out of memory; None where nothing says so. The baseline is always tried."""
        if number == BASELINE_NUMBER or _shrinks(parameters):
            return None
        return self._model.reason_not_to_launch(
            shape=self._shape(parameters), batch_size=_batch_size(parameters), room=self._room(lease)
        )

    def fits_alone(self, *, parameters: Mapping[str, Scalar], lease: Lease) -> bool:
        """Whether nothing says that the trial would run out if other processes held nothing of the device."""
        room = replace(self._room(lease), held_bytes=0)
        shape, batch_size = self._shape(parameters), _batch_size(parameters)
        return self._model.reason_not_to_launch(shape=shape, batch_size=batch_size, room=room) is None

    def _shape(self, parameters: Mapping[str, Scalar]) -> Shape:
        learning = {name: value for name, value in parameters.items() if name not in self._speed_parameters}
        features = dict(Workload.of(self._task, learning, device="", num_cores=0).features)
        features.pop("batch_size", None)
        features |= {name: parameters[name] for name in self._knobs if name in parameters}
        return tuple(sorted(features.items()))

    def _room(self, lease: Lease) -> Room:
        if not lease.device.startswith("cuda"):
            return Room(self._machine.memory_bytes)  # trials can swap; only what is above all of it is hopeless
        total = max(accelerator.memory_bytes for accelerator in self._machine.torch.accelerators)
        held = 0 if self._has_shared_devices else held_device_bytes(lease.visible_devices)
        return Room(total, held)


def make_fitting(spec: StudySpec, *, stage: Stage, jobs: int) -> Fitting:
    """For the machine of this start."""
    num_gpus = len(stage.machine.torch.accelerators) if stage.device == "cuda" else 0
    return Fitting(
        spec,
        machine=stage.machine,
        speed_parameters=stage.knobs.keys(),
        has_shared_devices=jobs > max(1, num_gpus),
    )


def _shrinks(parameters: Mapping[str, Scalar]) -> bool:
    return parameters.get("accumulate") == "auto"


def _batch_size(parameters: Mapping[str, Scalar]) -> int:
    batch_size = parameters.get("batch_size")
    return batch_size if isinstance(batch_size, int) else 0
