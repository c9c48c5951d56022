"""Parameters of a spec that are secrets: their values stand in its file alone, which has to be there again."""

from collections.abc import Mapping
from pathlib import Path

from autotune.errors import InputError
from autotune.events import Scalar
from autotune.secrecy import REDACTED
from autotune.spec.load import load_spec
from autotune.spec.model import StudySpec


def check_secrets(spec: StudySpec, *, study: str, secrets: Mapping[str, Scalar], remedy: str) -> None:
    """Raise InputError where trials would need a secret that nobody has told.

    Args:
        spec: Of the study, as it is stored.
        study: Its name.
        secrets: Values that are known.
        remedy: How they are told, such as a command.
    """
    for parameters in (spec.learning, spec.speed, spec.baseline):
        for name, value in parameters.items():
            if value == REDACTED and name not in secrets:
                rule = f"its parameter {name} is a secret, which no study stores"
                raise InputError(f"study {study}: {rule}, got none; {remedy}")


def secrets_in(file: Path | None) -> Mapping[str, Scalar]:
    """The secrets that a spec file holds; none without one."""
    return {} if file is None else load_spec(str(file)).secrets
