"""Every speed parameter, with what it may be on one machine or why it is out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from autotune.events import Scalar
from autotune.hardware import Machine
from autotune.report.text.wording import format_scalar
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.knob import Companion
from autotune.task_knob import Needs, Numerics


@dataclass(frozen=True, kw_only=True)
class KnobSummary:
    """One knob on one machine; the fields are the keys of its JSON."""

    name: str
    summary: str
    choices: tuple[Scalar, ...]
    """Legal choices here, or words such as ``auto`` that are legal beside numbers; empty where the knob is out."""
    low: int | None
    """The smallest legal number; None where the knob has only choices."""
    high: int | None
    """The largest legal number; None where there is no limit."""
    values: tuple[Scalar, ...]
    """Values that a race tries here by default, with all cores; empty where the knob is out or not raced by default."""
    reason: str | None
    """Why the knob can't be used here at all; None where it can."""
    left_out: Mapping[str, str]
    """Choices that can't be used here, each with its reason."""
    numerics: Numerics
    needs: Needs
    is_raced: bool
    """A race tries it by default, even if the spec does not name it."""
    simplest: Scalar
    """What torch does when nothing is set; of settings that tie, the one with this value is kept."""
    needs_positive: str | None
    """Another knob that must be above zero, or on, for this one to mean anything."""
    goes_with: tuple[Companion, ...]
    """Choices that some values of another knob alone go together with."""
    excludes: str | None
    """Another knob that sets the same thing: a spec has one of the two."""
    docs: str

    @property
    def words(self) -> str:
        """The legal values in words, and those of them that a race tries."""
        if not self.is_raced:
            return f"{self._legal}; raced only where a spec names it"
        if self.low is None:
            return self._legal
        return f"{self._legal}; a race tries {_written(self.values)}"

    @property
    def _legal(self) -> str:
        if self.low is None:
            return _written(self.choices)
        numbers = f"{self.low} to {self.high}" if self.high is not None else f"{self.low} or more"
        return ", or ".join((numbers, *map(format_scalar, self.choices)))


def _written(values: Iterable[Scalar]) -> str:
    return ", ".join(map(format_scalar, values))


def list_knobs(machine: Machine) -> tuple[KnobSummary, ...]:
    """All built-in knobs, in the order in which a person reads them."""
    return tuple(_summarise(name, machine) for name in KNOBS)


def left_out(knobs: Iterable[KnobSummary]) -> Iterator[tuple[str, str]]:
    """Knobs that are out here, each with its reason; for a single choice that is out, as in ``device: no GPU``."""
    for knob in knobs:
        if knob.reason is not None:
            yield knob.name, knob.reason
        for choice, reason in knob.left_out.items():
            yield knob.name, f"{choice}: {reason}"


def bound(knobs: Iterable[KnobSummary]) -> Iterator[tuple[str, str]]:
    """Knobs that can be used here and are bound to another one, each with how; a single choice stands before it."""
    for knob in knobs:
        if knob.reason is not None:
            continue
        if knob.needs_positive is not None:
            state = "on" if KNOBS[knob.needs_positive].low is None else "above 0"
            yield knob.name, f"means something only with {knob.needs_positive} {state}"
        for companion in knob.goes_with:
            if companion.choice in knob.choices:
                choice = format_scalar(companion.choice)
                yield knob.name, f"{choice} goes only with {companion.knob} {_written(companion.values)}"
        if knob.excludes is not None:
            yield knob.name, f"sets what {knob.excludes} sets: a spec has one of the two"


def _summarise(name: str, machine: Machine) -> KnobSummary:
    knob = KNOBS[name]
    reason = knob.applies(machine)
    is_in = reason is None
    reasons = {choice: knob.choice_applies(choice, machine) for choice in knob.choices} if is_in else {}
    words = (*knob.words, *(("auto",) if knob.has_auto else ()))
    return KnobSummary(
        name=name,
        summary=knob.summary,
        choices=(*(choice for choice, why in reasons.items() if why is None), *words) if is_in else (),
        low=knob.low if is_in else None,
        high=knob.high if is_in else None,
        values=knob.candidates(machine, num_cores=machine.num_cores) if is_in and knob.is_raced else (),
        reason=reason,
        left_out={str(choice): why for choice, why in reasons.items() if why},
        numerics=knob.numerics,
        needs=knob.needs,
        is_raced=knob.is_raced,
        simplest=knob.simplest,
        needs_positive=knob.needs_positive,
        goes_with=knob.companions,
        excludes=knob.excludes,
        docs=knob.docs,
    )
