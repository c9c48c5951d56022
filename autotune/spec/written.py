"""Values as a person would write them in a spec, for messages and diffs."""

import re
from collections.abc import Mapping

_PLAIN = re.compile(r"[A-Za-z_./][\w./:\- ]*")
_WORDS = {"true", "false", "null", "~", "yes", "no", "on", "off"}
_MAX_LENGTH = 120
_MAX_DEPTH = 4


def written(value: object) -> str:
    """The value as YAML in one line; a long or deep value is cut short with dots."""
    text = _flow(value, depth=0)
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def _flow(value: object, *, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return "..."
    if isinstance(value, Mapping):
        inner = (f"{_flow(key, depth=depth + 1)}: {_flow(item, depth=depth + 1)}" for key, item in value.items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item, depth=depth + 1) for item in value) + "]"
    return _scalar(value)


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and (not _PLAIN.fullmatch(value) or value.lower() in _WORDS):
        return repr(value)
    return str(value)
