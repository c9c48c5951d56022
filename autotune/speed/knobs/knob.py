"""What a speed parameter is: its legal values, where it applies, how it is judged and raced.

No torch here: what torch can do on a machine stands in ``Machine``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.task_knob import Bottleneck, Needs, Numerics

Reason: TypeAlias = str | None
"""Why something does not apply here; None where it does."""


def everywhere(machine: Machine) -> Reason:
    """No reason to leave a knob out, whatever the machine."""
    del machine
    return None


def every_choice(choice: Scalar, machine: Machine) -> Reason:
    """No reason to leave a choice out, whatever the machine."""
    del choice, machine
    return None


@dataclass(frozen=True)
class Companion:
    """A choice of a knob that goes together with some values of another knob only."""

    choice: Scalar
    knob: str
    """Name of the other knob."""
    values: tuple[Scalar, ...]
    """What the other knob may be beside the choice."""


@dataclass(frozen=True)
class Knob:
    """One speed parameter. Either ``choices`` or ``low`` is set: the legal choices, or the least whole number."""

    name: str
    summary: str
    numerics: Numerics
    needs: Needs
    simplest: Scalar
    """What torch does when nothing is set, threads aside: the value of a setting that is silent about the knob."""
    docs: str
    """Address of torch's documentation of it; empty for a task's own knob."""
    moves: tuple[Bottleneck, ...] = ("input", "launch", "compute")
    """The bottlenecks that it can move; a race leaves it out where the step waits for something else."""
    is_of_host: bool = False
    """It speeds up what the host computes. Beside a GPU it moves the input alone, after the knobs made for that."""
    starts_with_a_pass: bool = False
    """With any value but the simplest, a training fetches all its samples before its first step."""
    searches_at_start: bool = False
    """With any value but the simplest, a training's first steps may take many seconds more: they compile or search, or
    each worker imports torch."""
    has_unknown_start: bool = False
    """Nobody has said what a change needs: a start that takes longer is charged, but is soon taken for a hang."""
    choices: tuple[Scalar, ...] = ()
    low: int | None = None
    high: int | None = None
    """The greatest whole number that can be written; beyond it a machine is lost for want of memory or processes."""
    has_auto: bool = False
    """A bound or a value may be ``auto``: the cores that a trial has."""
    words: tuple[str, ...] = ()
    """Values beside the numbers, each with a meaning of its own to the training."""
    applies: Callable[[Machine], Reason] = everywhere
    """Reason why the knob as a whole is left out on this machine."""
    choice_applies: Callable[[Scalar, Machine], Reason] = every_choice
    """Reason why one of its choices is left out on this machine."""
    needs_positive: str | None = None
    """Another knob that must be above zero, or on, for this one to mean anything."""
    companions: tuple[Companion, ...] = ()
    """What some of its choices need of other knobs."""
    excludes: str | None = None
    """Another knob that sets the same thing: a spec has one of the two."""
    is_raced: bool = True
    """A race tries it when nobody names it; false for what is a wish (determinism) or a remedy (accumulation)."""
    full: Scalar | None = None
    """The value that computes with all digits, where that is not the simplest."""
    raced: tuple[Scalar, ...] = ()
    """Whole numbers that a race tries; with ``has_auto`` those below the number of cores, and that number."""

    def candidates(self, machine: Machine, *, num_cores: int) -> tuple[Scalar, ...]:
        """The values that a race tries on this machine when a spec names none; the simplest is among them."""
        values = self.choices or tuple(sorted({self.simplest, *self._numbers(num_cores)}, key=_as_number))
        return tuple(value for value in values if self.choice_applies(value, machine) is None)

    @property
    def depends_on(self) -> frozenset[str]:
        """Other knobs whose values decide whether it means anything, or which of its choices can be had."""
        parents = {self.needs_positive} if self.needs_positive is not None else set()
        return frozenset(parents | {companion.knob for companion in self.companions})

    @property
    def all_digits(self) -> Scalar:
        """The value with which nothing is computed with fewer digits."""
        return self.simplest if self.full is None else self.full

    @property
    def is_slow_to_start(self) -> bool:
        """With any value but the simplest, a training's start may well take far longer than with that."""
        return self.searches_at_start or self.starts_with_a_pass or self.needs == "relaunch"

    def on(self, machine: Machine) -> "Knob":
        """The knob with the bottlenecks that it can move on this machine."""
        return replace(self, moves=("input",)) if self.is_of_host and machine.torch.accelerators else self

    def _numbers(self, num_cores: int) -> tuple[Scalar, ...]:
        """``raced``, as far as the cores go."""
        if not self.has_auto:
            return self.raced
        return (*(value for value in self.raced if isinstance(value, int) and value < num_cores), num_cores)


def _as_number(value: Scalar) -> float:
    """The place of a value among those of its knob: words come before numbers."""
    if isinstance(value, str):
        return -1.0
    assert isinstance(value, int | float)
    return value
