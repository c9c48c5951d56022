"""Secret parameters of a spec: their values are in its file alone, so that later starts need the file again."""

from collections.abc import Mapping
from pathlib import Path

from autotune.errors import InputError
from autotune.events import Scalar
from autotune.secrecy import REDACTED
from autotune.spec.load import load_spec
from autotune.spec.model import StudySpec


def check_secrets(spec: StudySpec, *, study: str, secrets: Mapping[str, Scalar], remedy: str) -> None:
    """Raise InputError where trials would need a secret whose value is not known.

    Args:
        spec: The study's spec, as it is stored.
        study: The study's name.
        secrets: Known secrets by name.
        remedy: How the user can tell them, such as a command.
    """
    for parameters in (spec.learning, spec.speed, spec.baseline):
        for name, value in parameters.items():
            if value == REDACTED and name not in secrets:
                rule = f"its parameter {name} is a secret, which no study stores"
                raise InputError(f"study {study}: {rule}, got none; {remedy}")


def secrets_in(file: Path | None) -> Mapping[str, Scalar]:
    """The secrets that a spec file holds; empty if ``file`` is None."""
    return {} if file is None else load_spec(str(file), called="--spec").secrets
