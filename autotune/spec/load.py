"""From a YAML file, or the name of a search space that comes along, to a validated study spec."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autotune.spec.model import StudySpec


@dataclass(frozen=True)
class SpecFile:
    """A study spec and the text that it was read from."""

    spec: StudySpec
    text: str
    """YAML with every override applied: ``parse_spec(text)`` gives the same spec."""
    origin: str
    """What error messages call the file."""
    name: str
    """The file's stem: how a study is called unless the user says otherwise."""

    def where(self, key: str) -> str:
        """Where a dotted key stands: ``search_spaces/mnist.yaml:14: learning.lr``."""
        return f"{self.origin}: {key}"


def load_spec(space: str, *, overrides: Sequence[str] = ()) -> SpecFile:
    """Read a spec from a file, or from a search space that comes with the package.

    Raises:
        SpecError: It can't be read, or breaks a rule.
    """
    raise NotImplementedError


def parse_spec(text: str, *, origin: str, folder: Path | None = None, overrides: Sequence[str] = ()) -> SpecFile:
    """Read a spec from its text.

    Raises:
        SpecError: It breaks a rule.
    """
    raise NotImplementedError
