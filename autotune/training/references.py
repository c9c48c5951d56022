"""Objects named in a study spec: ``package.module:Name`` or ``path/to/file.py:Name``."""

import importlib
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError
from typing_extensions import override

from autotune.errors import TaskError
from autotune.training.failures import InfeasibleError, one_line

_PACKAGE = Path(__file__).parents[1]
_SITE = ("site-packages", "dist-packages")
_OTHERS = frozenset({"torch", "pydantic"})
"""Installed packages that no user's task is in, and whose lines say nothing of it."""
_PREFIX = "autotune_task_"
"""Begins the module name of a user's file, so that their ``torch.py`` does not stand in for torch."""


def import_object(reference: str, *, kind: str) -> object:
    """The object that the reference names.

    A module is looked for in the current folder too, and a file may import its neighbours.

    Args:
        reference: ``package.module:Name`` or ``path/to/file.py:Name``.
        kind: What it should be, in the words of a message: ``task``, ``optimizer``.

    Raises:
        TaskError: The file, module or name is missing, or the import raised.
    """
    location, colon, name = reference.rpartition(":")
    if not colon or not location or not name:
        raise TaskError(
            f"{kind}: must be package.module:Name or path/to/file.py:Name, got {reference!r}; add what is missing"
        )
    with blaming(f"{kind} {reference}", "its import"):
        module = _import_file(Path(location), kind=kind) if location.endswith(".py") else _import_module(location)
    if not hasattr(module, name):
        found = ", ".join(sorted(_own_names(module))) or "nothing"
        raise TaskError(f"{kind} {reference}: {location} has no {name}; it has {found}")
    found_object: object = getattr(module, name)
    return found_object


@contextmanager
def blaming(where: str, step: str) -> Iterator[None]:
    """Turn whatever the user's code raises into a TaskError that says where and what.

    InfeasibleError passes, since it is an answer and no fault.

    Raises:
        TaskError: In place of any other exception, with the file and line that raised.
    """
    try:
        yield
    except (TaskError, InfeasibleError):
        raise
    except (Exception, SystemExit) as error:
        raise TaskError(f"{where}: {step} raised {_words(error)}{_place(error)}") from error


def _words(error: BaseException) -> str:
    """The error in one line; what pydantic has against a knob stands in the later lines of its message."""
    if not isinstance(error, ValidationError):
        return one_line(error)
    faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
    return f"{type(error).__name__}: {error.title}: {'; '.join(faults)}"


def _place(error: BaseException) -> str:
    """File and line of the user's own code that led to the error last; empty where none of it did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith("<") and not _is_of_others(Path(frame.filename))]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


def _is_of_others(path: Path) -> bool:
    """Whether the file belongs to Python, torch, pydantic or this package; this package's tasks count as a user's."""
    if path.is_relative_to(_PACKAGE):
        return not path.is_relative_to(_PACKAGE / "tasks")
    if any(folder in path.parts for folder in _SITE):
        return not _OTHERS.isdisjoint(path.parts)
    return path.is_relative_to(sysconfig.get_path("stdlib"))


@dataclass(frozen=True)
class ImportedFiles:
    """The files that a process imported for its references; unpickling it imports them in another process.

    Pickle it before the objects that need them: pickle finds a class by its module, and a new interpreter does not
    have the modules of these files.
    """

    paths: tuple[str, ...]

    @classmethod
    def here(cls) -> "ImportedFiles":
        """The files of this process that still exist, in the order of their import."""
        files = (getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith(_PREFIX))
        return cls(tuple(file for file in files if file is not None and Path(file).is_file()))

    @override
    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a call that imports the files."""
        return _import_files, self.paths


def _import_files(*paths: str) -> ImportedFiles:
    """Import these files; what pickle calls in another process."""
    for path in paths:
        _import_file(Path(path), kind="file")
    return ImportedFiles(paths)


def _import_module(name: str) -> ModuleType:
    """Import a module, also from the current folder."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def _import_file(path: Path, *, kind: str) -> ModuleType:
    """Import a file as a module whose name no other has; it is imported once."""
    path = path.expanduser().resolve()
    if not path.is_file():
        raise TaskError(f"{kind} {path}: there is no such file; give it as path/to/file.py:Name")
    name = f"{_PREFIX}{path.stem}"
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look classes up by their module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _own_names(module: ModuleType) -> list[str]:
    """Names of what the module itself defines."""
    return [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
