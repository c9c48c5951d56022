"""A plain PyTorch script's optimizer, loader and flags, read from its text; the script is never run."""

import ast
import tokenize
from dataclasses import dataclass
from pathlib import Path

from autotune.errors import InputError
from autotune.events import Scalar
from autotune.spec.first.findings import Note, Reading, Unread
from autotune.spec.first.reader import Reader, place_of


@dataclass(frozen=True)
class Script:
    """The findings in a script; each parameter counts once, where the text sets it first."""

    tree: ast.Module
    text: str
    readings: tuple[Reading, ...]
    unread: tuple[Unread, ...]
    notes: tuple[Note, ...] = ()

    def value(self, name: str) -> Scalar:
        """The parameter's value; None where the script does not set it."""
        return next((reading.value for reading in self.readings if reading.name == name), None)


def read_script(path: Path) -> Script:
    """Read the script; raises InputError where there is no such file, or it is not Python."""
    if path.suffix == ".ipynb":  # a notebook's JSON parses as Python without statements of interest
        raise InputError(
            f"{path}: a script must be Python, got a notebook; `jupyter nbconvert --to script {path}` first"
        )
    try:
        with tokenize.open(path) as file:  # in its own encoding, with or without a byte order mark
            text = file.read()
        tree = ast.parse(text, filename=str(path))
    except OSError as error:
        raise InputError(f"{path}: a script must be a file that can be read, got {error.strerror!r}") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        reason = error.args[0] if isinstance(error, SyntaxError) else str(error)
        raise InputError(f"{path}:{line}: a script must be Python, got {reason!r}; mend it first") from error
    return parse_script(tree, text=text)


def parse_script(tree: ast.Module, *, text: str) -> Script:
    """Read a script whose text is parsed already; see ``read_script``."""
    reader = Reader(tree)
    for node in sorted(ast.walk(tree), key=place_of):
        reader.read(node)
    reader.end()
    unread = tuple(each for name, each in reader.unread.items() if name not in reader.readings)
    return Script(tree, text, tuple(reader.readings.values()), unread, tuple(dict.fromkeys(reader.notes)))
