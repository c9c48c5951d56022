"""What is found in a script."""

from dataclasses import dataclass

from autotune.events import Scalar


@dataclass(frozen=True)
class Reading:
    """One thing that the script sets."""

    name: str
    """Of the parameter, as in a spec; ``epochs`` and ``seed`` are keys of the spec itself."""
    value: Scalar
    line: int


@dataclass(frozen=True)
class Unread:
    """One thing that the script sets and its text alone does not tell."""

    name: str
    expression: str
    line: int


@dataclass(frozen=True)
class Note:
    """One thing of the script that a spec does not say, or that was looked for in vain."""

    line: int | None
    """None where it is of no line."""
    text: str
