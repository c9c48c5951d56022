"""Names as MLflow takes them: of metrics, parameters and tags."""

import posixpath
import re

_REFUSED = re.compile(r"[^A-Za-z0-9_\-. :/]")


def key_of(name: str) -> str:
    """The name as MLflow takes it."""
    key = _REFUSED.sub("_", name)[:250] or "_"
    # MLflow refuses names that are no normal path, such as "a//b" and "../a".
    return (
        key if posixpath.normpath(key) == key and not key.startswith((".", "/")) else key.replace("/", "_").strip(".")
    )
