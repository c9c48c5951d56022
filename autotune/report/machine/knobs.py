"""Every speed parameter, with what it may be on one machine or why it is out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from autotune.events import Needs, Numerics, Scalar
from autotune.hardware import Machine
from autotune.report.text.wording import format_scalar
from autotune.speed.knobs import KNOBS


@dataclass(frozen=True, kw_only=True)
class KnobSummary:
    """One knob on one machine; the fields are the keys of its JSON."""

    name: str
    summary: str
    values: tuple[Scalar, ...]
    """What a race tries here; empty where the knob is out."""
    reason: str | None
    """Why it is out as a whole."""
    left_out: Mapping[str, str]
    """Choices that are out, each with its reason."""
    numerics: Numerics
    needs: Needs
    is_raced: bool
    """A race tries it without being told to."""
    docs: str

    @property
    def words(self) -> str:
        """Its values, and whether a spec has to name it."""
        values = ", ".join(map(format_scalar, self.values))
        return values if self.is_raced else f"{values}; raced only where a spec names it"


def list_knobs(machine: Machine) -> tuple[KnobSummary, ...]:
    """All built-in knobs, in the order in which a person reads them."""
    return tuple(_summarise(name, machine) for name in KNOBS)


def left_out(knobs: Iterable[KnobSummary]) -> Iterator[tuple[str, str]]:
    """Knobs that are out here with their reasons; of one that lacks a choice alone, which, as in ``device: no GPU``."""
    for knob in knobs:
        if knob.reason is not None:
            yield knob.name, knob.reason
        for choice, reason in knob.left_out.items():
            yield knob.name, f"{choice}: {reason}"


def _summarise(name: str, machine: Machine) -> KnobSummary:
    knob = KNOBS[name]
    reason = knob.applies(machine)
    reasons = {choice: knob.choice_applies(choice, machine) for choice in knob.choices} if reason is None else {}
    return KnobSummary(
        name=name,
        summary=knob.summary,
        values=knob.candidates(machine, num_cores=machine.num_cores) if reason is None else (),
        reason=reason,
        left_out={str(choice): why for choice, why in reasons.items() if why},
        numerics=knob.numerics,
        needs=knob.needs,
        is_raced=knob.is_raced,
        docs=knob.docs,
    )
