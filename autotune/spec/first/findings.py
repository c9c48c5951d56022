"""The kinds of findings in a script."""

from dataclasses import dataclass

from autotune.events import Scalar


@dataclass(frozen=True)
class Reading:
    """A setting whose value the script's text tells."""

    name: str
    """The parameter's name in a spec; ``epochs`` and ``seed`` are keys of the spec itself."""
    value: Scalar
    line: int


@dataclass(frozen=True)
class Unread:
    """A setting that the script computes, so that its text does not tell the value."""

    name: str
    expression: str
    line: int


@dataclass(frozen=True)
class Note:
    """A remark on something that a spec can't express, or that was not found in the script."""

    line: int | None
    """The line in the script; None where the remark belongs to no line."""
    text: str
