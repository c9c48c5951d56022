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
    clear: Callable[[], None]
    """Ends what waits on the device for its turn; called before anything is measured."""
    on_wait: Callable[[float], None]
    """Called often while a race runs, with the study's elapsed seconds at which the race must end. Raises to end it."""


class Speeds(Protocol):
    """Decides the speed parameters of a proposed trial: races are run by ``measure`` alone, before ``complete``."""

    def measure_first(self, floor: Floor) -> None:
        """Run the race that comes before all trials, where there is one. May take minutes."""

    def measure(self, number: int, parameters: Mapping[str, Scalar], *, floor: Floor) -> None:
        """Run the races that the trial of this number needs, as far as the floor allows. May take minutes.

        Args:
            number: The trial's number.
            parameters: Those that were proposed, or those that a trial has which was never launched.
            floor: The device that the trial is to have.
        """

    def may_measure(self, number: int, parameters: Mapping[str, Scalar]) -> bool:
        """Whether ``measure`` would run a race for this trial at this moment, on a floor where nothing trains."""

    def complete(self, number: int, parameters: Mapping[str, Scalar], *, lease: Lease | None) -> dict[str, Scalar]:
        """All parameters that the trial of this number trains with, by what is known at this moment.

        Args:
            number: The trial's number.
            parameters: As ``measure`` takes them; speed parameters among them are replaced.
            lease: Where the trial is to train; None while nobody knows.
        """

    def fallback(self, number: int, parameters: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """The trial's parameters with the baseline's speed parameters in place of those of a race.

        None where no race decided the trial's speed parameters, or the race found those of the baseline.
        """

    def rule_out(self, parameters: Mapping[str, Scalar]) -> None:
        """A trial could not be trained with these: later ones of its workload get the baseline's speed parameters."""


class _Unraced:
    """Speed parameters that no race decides: nothing is measured, and there is nothing to fall back from."""

    def measure_first(self, floor: Floor) -> None:
        """No race comes first."""

    def measure(self, number: int, parameters: Mapping[str, Scalar], *, floor: Floor) -> None:
        """No trial needs a race."""

    def may_measure(self, number: int, parameters: Mapping[str, Scalar]) -> bool:
        """Never."""
        del number, parameters
        return False

    def fallback(self, number: int, parameters: Mapping[str, Scalar]) -> None:
        """None: no race decided them."""

    def rule_out(self, parameters: Mapping[str, Scalar]) -> None:
        """Nothing changes for later trials."""


class JointSpeeds(_Unraced):
    """The sampler decides the speed parameters, like learning parameters."""

    def complete(self, number: int, parameters: Mapping[str, Scalar], *, lease: Lease | None) -> dict[str, Scalar]:
        """The parameters as they are."""
        del number, lease
        return dict(parameters)


class FixedSpeeds(_Unraced):
    """Every trial has the baseline's speed parameters."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space

    def complete(self, number: int, parameters: Mapping[str, Scalar], *, lease: Lease | None) -> dict[str, Scalar]:
        """The parameters with the baseline's speed parameters; those that are illegal beside them are left out."""
        del number, lease
        return self._space.with_speed(parameters, self._space.baseline)
