"""Names as MLflow takes them: of metrics, parameters and tags.

MLflow's compare page opens its scatter and contour plots with the first metric in the order of their letters, capitals
first. So an objective's name begins with a capital. Parameters keep their plain names, by which runs are filtered.
"""

import posixpath
import re

_REFUSED = re.compile(r"[^A-Za-z0-9_\-. :/]")


def key_of(name: str) -> str:
    """The name as MLflow takes it: at most 250 characters, ``_`` for those it refuses, and no path that leads upwards.

    Two names that differ in such characters alone have one key.
    """
    key = _REFUSED.sub("_", name)[:250] or "_"
    # MLflow refuses names that are no normal path, such as "a//b" and "../a".
    return (
        key if posixpath.normpath(key) == key and not key.startswith((".", "/")) else key.replace("/", "_").strip(".")
    )


def objective_key(metric: str) -> str:
    """The second name under which an objective's values are logged, which sorts before all other metrics."""
    return key_of(f"Objective/{metric}")
