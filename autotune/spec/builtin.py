"""The search spaces that come with the package: in a checkout, and inside the wheel."""

from pathlib import Path

from autotune.errors import SpecError
from autotune.spec.names import nearest

_PACKAGE = Path(__file__).parents[1]


def spaces_folder() -> Path:
    """``autotune/search_spaces`` of an installed wheel, or ``search_spaces`` of the checkout."""
    installed = _PACKAGE / "search_spaces"
    return installed if installed.is_dir() else _PACKAGE.parent / "search_spaces"


def list_spaces() -> tuple[str, ...]:
    """Names of the search spaces that come with the package, sorted."""
    return tuple(sorted(path.stem for path in spaces_folder().glob("*.yaml")))


def find_space(name: str) -> Path:
    """The file of a search space that comes with the package.

    Raises:
        SpecError: There is none of this name.
    """
    names = list_spaces()
    if name not in names:
        hint = nearest(name, names)
        remedy = f"did you mean {hint}?" if hint else f"there are: {', '.join(names)}"
        raise SpecError(f"SPACE: must be a YAML file or a search space that comes along, got {name!r}; {remedy}")
    return spaces_folder() / f"{name}.yaml"
