"""A task's source: its file, a digest of its code, and how to find it after its folder was moved."""

import ast
import hashlib
import io
import sys
import tokenize
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path

_DIGEST_BYTES = 16
_INSTALLED = ("site-packages", "dist-packages")


def find_source(task: str) -> Path | None:
    """The file of ``package.module:Name`` or ``path/to/file.py:Name``, if there is one; nothing is imported."""
    location = task.rpartition(":")[0]
    path = Path(location).expanduser().absolute() if location.endswith(".py") else _find_module(location)
    return path if path is not None and path.is_file() else None


def source_digest(task: str) -> str | None:
    """32 hex digits that depend on the task's code alone and not on its place; None where there is no source.

    The code is the task's file with those modules beside it, or in its package, that it imports directly or
    indirectly. Comments and blank lines don't count, nor do installed modules, unless the
    task itself is installed.
    """
    path = find_source(task)
    if path is None:
        return None
    location = task.rpartition(":")[0]
    root = path.parent
    if not location.endswith(".py"):
        root = path.parents[location.count(".") + (path.name == "__init__.py")]
    try:
        sources = _read_all(path, root=root, package=location.partition(".")[0])
    except OSError:
        return None
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for file, text in sorted(sources.items(), key=lambda item: (item[0] != path, item[0])):
        name = "" if file == path else file.relative_to(root).as_posix()
        hashed.update(f"{name}\0{_without_comments(text)}\0".encode())
    return hashed.hexdigest()


def find_moved(task: str, *, digest: str | None, folders: Iterable[Path]) -> str | None:
    """The task with the path where its file lies now; None where it is not found.

    It is looked for in the folders, and below them under each ending of its former path.

    Args:
        task: ``path/to/file.py:Name``, whose file is gone.
        digest: Digest of its source, or None; a file with this digest is preferred to any other.
        folders: Where to look.
    """
    location, _, name = task.rpartition(":")
    if not location.endswith(".py"):
        return None
    parts = Path(location).parts
    ends = [Path(*parts[depth:]) for depth in range(1, len(parts))]
    near = dict.fromkeys(folder / end for folder in folders for end in ends)
    found = [f"{path.resolve()}:{name}" for path in near if path.is_file()]
    return next((each for each in found if source_digest(each) == digest), next(iter(found), None))


def _find_module(name: str) -> Path | None:
    """The module's file, found part by part: importlib would import the packages above it for the whole name."""
    places: list[str] | None = [str(Path.cwd()), *sys.path]
    parts = name.split(".")
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), places)
        if spec is None:
            return None
        if depth == len(parts) - 1:
            return Path(spec.origin) if spec.origin else None
        places = list(spec.submodule_search_locations or [])
    return None


def _read_all(path: Path, *, root: Path, package: str) -> dict[Path, str]:
    """The texts, by path, of the file and of the task's own modules that it imports."""
    bounds = root / package if any(part in _INSTALLED for part in root.parts) else root
    texts: dict[Path, str] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in texts:
            continue
        texts[file] = _read(file)
        imported = _imported(texts[file], path=file, root=root)
        waiting += [module for module in imported if module.is_relative_to(bounds)]
    return texts


def _read(path: Path) -> str:
    try:
        with tokenize.open(path) as file:  # in its own encoding
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return path.read_text(encoding="latin-1")


def _imported(text: str, *, path: Path, root: Path) -> Iterator[Path]:
    """Files below the root that a module imports; those of autotune are left out."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from _files(alias.name.split("."), base=root, is_absolute=True)
            case ast.ImportFrom(module=module, names=names, level=level) if level <= len(path.parents):
                base = path.parents[level - 1] if level else root
                parts = module.split(".") if module else []
                for alias in names:
                    yield from _files([*parts, alias.name], base=base, is_absolute=not level)
            case _:
                pass


def _files(parts: list[str], *, base: Path, is_absolute: bool) -> Iterator[Path]:
    """The files of a module and of the packages above it; the last part may be a name in the module instead."""
    if is_absolute and parts[0] == "autotune":
        return
    for depth in range(1, len(parts) + 1):
        stem = base.joinpath(*parts[:depth])
        for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if file.is_file():
                yield file


def _without_comments(text: str) -> str:
    """The text without comments, blank lines and spaces at a line's end, which don't change what is trained."""
    lines = text.splitlines()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
    except (tokenize.TokenError, SyntaxError):
        return text
    return "\n".join(stripped for line in lines if (stripped := line.rstrip()))
