"""Parameters that are secrets: trials are told them, and nothing that trials say carries them back."""

from collections.abc import Mapping

from autotune.errors import TaskError
from autotune.events import Finished, Scalar, TrialOrder
from autotune.secrecy import REDACTED, redact_text

_SHORTEST = 6
"""Shorter secrets are not redacted: they occur in any text by chance."""


def reveal(order: TrialOrder, *, secrets: Mapping[str, Scalar]) -> TrialOrder:
    """The order with its secrets.

    Raises:
        TaskError: A secret's value is not known, since it is stored nowhere.
    """
    parameters = {
        name: secrets.get(name, value) if value == REDACTED else value for name, value in order.parameters.items()
    }
    unknown = [name for name, value in parameters.items() if value == REDACTED]
    if unknown:
        raise TaskError(
            f"task {order.task}: its parameter {unknown[0]} is a secret, which no study stores, got none; "
            "name the spec file that has it"
        )
    return order.model_copy(update={"parameters": parameters})


def conceal(finished: Finished, *, secrets: Mapping[str, Scalar]) -> Finished:
    """A process's last word without secrets in the texts that a person reads."""
    texts = {"reason": finished.reason, "traceback": finished.traceback}
    return finished.model_copy(
        update={name: conceal_text(text, secrets=secrets) for name, text in texts.items() if text}
    )


def conceal_text(text: str, *, secrets: Mapping[str, Scalar]) -> str:
    """The text without these secrets, and without anything else that looks like a secret."""
    for value in secrets.values():
        if len(str(value)) >= _SHORTEST:
            text = text.replace(str(value), REDACTED)
    return redact_text(text)
