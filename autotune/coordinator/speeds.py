"""Where a trial's speed parameters come from: the sampler, the baseline, or the race of its workload."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from autotune.errors import RunError
from autotune.events import Scalar
from autotune.search.space import SearchSpace
from autotune.trial.leases import Lease


class RaceEndedError(RunError):
    """A race was ended because the study stops or its time is up."""


@dataclass(frozen=True)
class Floor:
    """The resources that a race may use."""

    lease: Lease
    is_alone: bool
    """No trial runs, so that nothing disturbs a measurement."""
    on_wait: Callable[[float], None]
    """Called often while a race runs, with the study's elapsed seconds at which the race must end. Raises to end it."""


class Speeds(Protocol):
    """Decides the speed parameters of a proposed trial."""

    def complete(self, number: int, parameters: Mapping[str, Scalar], *, floor: Floor | None) -> dict[str, Scalar]:
        """All parameters that the trial of this number trains with, given those that were proposed.

        The parameters may include speed parameters already, as those of a trial that was never launched do. With
        ``floor`` None nothing is measured: no race may be run for this trial now.
        """

    def without_race(self, number: int, *, parameters: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """The trial's parameters with the baseline's speed parameters, since those of a race could not be trained.

        Later trials of this workload don't get the race's setting either. None where no race decided the trial's speed
        parameters, or the race found those of the baseline.
        """

    def prepare(self, floor: Floor) -> None:
        """Run the race now that a trial with given parameters may need: the device is free before that trial starts."""


class JointSpeeds:
    """The sampler decides the speed parameters, like learning parameters."""

    def complete(self, number: int, parameters: Mapping[str, Scalar], *, floor: Floor | None) -> dict[str, Scalar]:
        """The parameters as they are."""
        del number, floor
        return dict(parameters)

    def without_race(self, number: int, *, parameters: Mapping[str, Scalar]) -> None:
        """No race decides them."""
        del number, parameters

    def prepare(self, floor: Floor) -> None:
        """Nothing is measured."""


class FixedSpeeds:
    """Every trial has the baseline's speed parameters."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def complete(self, number: int, parameters: Mapping[str, Scalar], *, floor: Floor | None) -> dict[str, Scalar]:
        """The parameters with the baseline's speed parameters; those that are illegal beside them are left out."""
        del number, floor
        return self._space.with_speed(parameters, self._space.baseline)

    def prepare(self, floor: Floor) -> None:
        """Nothing is measured."""

    def without_race(self, number: int, *, parameters: Mapping[str, Scalar]) -> None:
        """No race decides them."""
        del number, parameters
