"""A trial's parameters, read-only, that remember which of them were read."""

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

from autotune.events import Scalar


class Parameters(Mapping[str, Scalar]):
    """A trial's parameters: ``params.width``, ``params["width"]`` or ``params.get("width", 16)``.

    A parameter that is not active in this trial is absent, and ``get`` gives the default that it is called with.
    Parameters that nobody read are told at the end of the trial, since a name is usually misspelt then.
    """

    def __init__(self, values: Mapping[str, Scalar]) -> None:
        self._values = dict(values)
        self._read: set[str] = set()
        self._asked: set[str] = set()
        self._is_listed = False

    @override
    def __getitem__(self, name: str) -> Scalar:
        self._asked.add(name)
        value = self._values[name]
        self._read.add(name)
        return value

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the type is the task's to know, as in argparse.Namespace
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            self._is_listed = True
            known = f", only {', '.join(self._values)}" if self._values else ""
            remedy = f"use params.get({name!r}, DEFAULT), or name a spec that has it"
            message = f"this trial has no parameter {name!r}{known}; {remedy}"
            raise AttributeError(message) from None

    @override
    def get(self, name: str, default: Any = None) -> Any:
        """The parameter's value, or the default where it is not active in this trial."""
        self._asked.add(name)
        return self[name] if name in self._values else default

    def peek(self, name: str, *, default: Scalar) -> Scalar:
        """As ``get``, for code that applies the parameter only if the loop asks for that: it does not count as read."""
        self._asked.add(name)
        return self._values.get(name, default)

    @override
    def __contains__(self, name: object) -> bool:
        self._asked.add(str(name))
        return name in self._values

    @override
    def __iter__(self) -> Iterator[str]:
        self._is_listed = True
        return iter(self._values)

    @override
    def __len__(self) -> int:
        self._is_listed = True
        return len(self._values)

    @override
    def __repr__(self) -> str:
        self._is_listed = True
        return f"Parameters({self._values})"

    @property
    def asked(self) -> tuple[str, ...] | None:
        """Names that somebody has asked for so far, absent ones too, sorted; None where all were listed."""
        return None if self._is_listed else tuple(sorted(self._asked))

    def become(self, values: Mapping[str, Scalar]) -> None:
        """Have these values from now on; whatever was asked for so far must be as it was."""
        self._values = dict(values)

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the parameters that nobody has read so far, sorted."""
        return tuple(sorted(self._values.keys() - self._read))
