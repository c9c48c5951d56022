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

    @override
    def __getitem__(self, name: str) -> Scalar:
        value = self._values[name]
        self._read.add(name)
        return value

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the type is the task's to know, as in argparse.Namespace
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            known = f", only {', '.join(self._values)}" if self._values else ""
            remedy = f"use params.get({name!r}, DEFAULT), or name a spec that has it"
            message = f"this trial has no parameter {name!r}{known}; {remedy}"
            raise AttributeError(message) from None

    @override
    def get(self, name: str, default: Any = None) -> Any:
        """The parameter's value, or the default where it is not active in this trial."""
        return self[name] if name in self._values else default

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._values

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    @override
    def __len__(self) -> int:
        return len(self._values)

    @override
    def __repr__(self) -> str:
        return f"Parameters({self._values})"

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the parameters that nobody has read so far, sorted."""
        return tuple(sorted(self._values.keys() - self._read))
