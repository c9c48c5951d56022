"""Where a trial's speed parameters come from: the sampler, the baseline, or the race of its workload."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from autotune.errors import RunError
from autotune.events import Scalar
from autotune.search.proposals import Proposal
from autotune.search.space import SearchSpace
from autotune.trial.leases import Lease


class RaceEndedError(RunError):
    """The study stops, or its time is up, while a race runs."""


@dataclass(frozen=True)
class Floor:
    """What a race may use: the lease of the trial that it is run for, and the device to itself or not."""

    lease: Lease
    is_alone: bool
    """No trial runs: what is measured now is not disturbed."""
    on_wait: Callable[[float], None]
    """To be called often while a race runs, with the elapsed seconds at which its time is up; raises to end it."""


class Speeds(Protocol):
    """Decides the speed parameters of a proposed trial."""

    def complete(self, proposal: Proposal, *, floor: Floor | None) -> dict[str, Scalar]:
        """All parameters that the trial trains with.

        ``floor`` is None where a trial of an earlier start is only looked at: nothing is measured then.
        """

    def without_race(self, number: int, *, parameters: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """The trial's parameters with the baseline's speed parameters in place of a race's, which can't be trained.

        No later trial of its workload takes those of the race. None where no race decided them, or it found the same.
        """

    def prepare(self, floor: Floor) -> None:
        """Measure now what needs the device alone: a trial whose parameters stand already will train next."""


class JointSpeeds:
    """The sampler has decided them already, like learning parameters."""

    def complete(self, proposal: Proposal, *, floor: Floor | None) -> dict[str, Scalar]:
        """The proposal's parameters as they are."""
        del floor
        return dict(proposal.parameters)

    def without_race(self, number: int, *, parameters: Mapping[str, Scalar]) -> None:
        """No race decides them."""
        del number, parameters

    def prepare(self, floor: Floor) -> None:
        """Nothing is measured."""


class FixedSpeeds:
    """Every trial has the baseline's."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def complete(self, proposal: Proposal, *, floor: Floor | None) -> dict[str, Scalar]:
        """The proposal with the baseline's speed parameters, as far as they go with it."""
        del floor
        return self._space.with_speed(proposal.parameters, self._space.baseline)

    def prepare(self, floor: Floor) -> None:
        """Nothing is measured."""

    def without_race(self, number: int, *, parameters: Mapping[str, Scalar]) -> None:
        """No race decides them."""
        del number, parameters
