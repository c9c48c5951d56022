"""One value of a spec with its place, and readers that turn it into the type that the schema asks for."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from autotune.errors import SpecError
from autotune.events import Scalar
from autotune.spec.names import nearest
from autotune.spec.places import Places
from autotune.spec.written import written

_LARGEST = 2**53
"""Whole numbers beyond this are no longer exact as the floats that samplers work with."""


@dataclass(frozen=True)
class Node:
    """A value at a dotted key; every reader raises SpecError with that place."""

    value: object
    key: str
    places: Places

    def error(self, rule: str, *, remedy: str, got: str | None = None) -> SpecError:
        """The error at this value; ``got`` is the value itself unless given."""
        return self.places.error(self.key, rule=rule, got=written(self.value) if got is None else got, remedy=remedy)

    def inner(self, name: str, value: object) -> "Node":
        """A value within this one."""
        return Node(value=value, key=f"{self.key}.{name}" if self.key else name, places=self.places)

    def fields(self, known: Collection[str] | None = None, *, example: str) -> dict[str, "Node"]:
        """The fields of a mapping; an empty value is an empty mapping, and ``known`` None allows any name."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.error("must be a mapping", remedy=f"write {example}")
        return {name: self.inner(name, value) for name, value in self._named(self.value, known)}

    def _named(self, mapping: dict[object, object], known: Collection[str] | None) -> Iterator[tuple[str, object]]:
        for name, value in mapping.items():
            if not isinstance(name, str) or not name.isprintable():
                raise self.error("every key must be text", got=written(name), remedy="quote it, or correct it")
            if known is not None and name not in known:
                hint = nearest(name, known)
                remedy = f"did you mean {hint}?" if hint else f"the keys here are {', '.join(known)}"
                raise self.inner(name, value).error("must be a known key", got=written(name), remedy=remedy)
            yield name, value

    def items(self, *, example: str) -> list["Node"]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.error("must be a list", remedy=f"write {example}")
        return [self.inner(str(index), value) for index, value in enumerate(self.value)]

    def text(self, *, example: str) -> str:
        """Text that is not empty."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error("must be text", remedy=f"write {example}")
        return self._printable(self.value)

    def _printable(self, text: str) -> str:
        # Line breaks would tear messages and run names apart; no database takes NUL or half a surrogate pair.
        if not text.isprintable():
            raise self.error("must be one line of printable text", remedy="remove what can't be printed")
        return text

    def one_of(self, known: Collection[str]) -> str:
        """One of the known words."""
        if not isinstance(self.value, str) or self.value not in known:
            hint = nearest(str(self.value), known)
            remedy = f"did you mean {hint}?" if hint else "write one of them"
            raise self.error(f"must be one of {', '.join(known)}", remedy=remedy)
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.error("must be true or false", remedy="write true or false, without quotes")
        return self.value

    def scalar(self) -> Scalar:
        """A finite number, text, true, false or null."""
        value = self.value
        if value is not None and not isinstance(value, bool | int | float | str):
            raise self.error("must be a plain value", remedy="write a number, text, true or false")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.number()
        return self._printable(value) if isinstance(value, str) else value

    def number(self) -> int | float:
        """A finite number."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error("must be a number", remedy="write digits without quotes, such as 3 or 1e-3")
        if isinstance(value, int):
            return self.whole()
        if not math.isfinite(value):
            raise self.error("must be a finite number", remedy="write one that a float can hold")
        return value

    def whole(self, *, low: int = -_LARGEST) -> int:
        """A whole number of at least ``low``."""
        value = self.value
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole:
            raise self.error("must be a whole number", remedy="write digits without quotes, such as 3")
        assert isinstance(value, int)
        if not low <= value <= _LARGEST:
            rule = f"must be at least {low}" if value < low else f"must be at most {_LARGEST}"
            raise self.error(rule, remedy="raise it" if value < low else "lower it")
        return value
