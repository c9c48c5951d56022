"""Where each key of a spec stands, and errors that say so."""

from collections.abc import Mapping
from dataclasses import dataclass

from autotune.errors import SpecError


@dataclass(frozen=True)
class Places:
    """Lines and overrides of one spec, by dotted key (``learning.lr.low``, ``objectives.0.metric``)."""

    origin: str
    lines: Mapping[str, int]
    """The line of each key, counted from 1."""
    overrides: Mapping[str, str]
    """Key → what was typed to set it: ``--set KEY=VALUE``, or an option that stands for it."""

    def where(self, key: str) -> str:
        """``FILE:LINE: KEY``, or ``--set KEY=VALUE: KEY`` where an override set it.

        A key that is not there is placed at the nearest key above it.
        """
        for override, typed in self.overrides.items():
            # An override of one value inside a section is not blamed for the whole section, if that is in the file.
            is_whole_section = "." not in key and key in self.lines
            if _is_within(key, override) or (not is_whole_section and key and _is_within(override, key)):
                return f"{typed}: {key}"
        above = key
        while above and above not in self.lines:
            above = above.rpartition(".")[0]
        return f"{self.origin}:{self.lines.get(above, 1)}: {key or 'top level'}"

    def error(self, key: str, *, rule: str, got: str, remedy: str) -> SpecError:
        """The error that says where, which rule, what was found and what to do."""
        return SpecError(f"{self.where(key)}: {rule}, got {got}; {remedy}")


def _is_within(key: str, outer: str) -> bool:
    return key == outer or key.startswith(f"{outer}.")
