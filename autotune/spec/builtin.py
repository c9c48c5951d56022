"""The search spaces that come with the package: in a checkout, and inside the wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def spaces_folder() -> Path:
    """``autotune/search_spaces`` of an installed wheel, or ``search_spaces`` of the checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def list_spaces() -> tuple[str, ...]:
    """Names of the search spaces that come with the package, sorted."""
    return tuple(sorted(path.stem for path in spaces_folder().glob("*.yaml")))


def task_of(name: str) -> str | None:
    """The task of a search space that comes with the package, as a spec refers to it; None for another name."""
    path = find_space(name)
    lines = path.read_text(encoding="utf-8").splitlines() if path is not None else []
    return next((line.removeprefix("task:").strip() for line in lines if line.startswith("task:")), None)


def find_space(name: str) -> Path | None:
    """The file of a search space that comes with the package, None where there is none of this name."""
    return spaces_folder() / f"{name}.yaml" if name in list_spaces() else None
