"""A trial's parameters as text to paste elsewhere: a spec's baseline, a program's JSON, a script's command line."""

import json
import re
import shlex
from collections.abc import Mapping

from autotune.events import Scalar

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def as_yaml(parameters: Mapping[str, Scalar]) -> str:
    """One ``name: value`` a line, which YAML 1.1 and 1.2 read alike; ``baseline:`` of a spec takes them."""
    return "\n".join(f"{_text(name)}: {_value(value)}" for name, value in parameters.items())


def as_json(parameters: Mapping[str, Scalar]) -> str:
    """The parameters as one JSON object."""
    return json.dumps(dict(parameters), indent=2, ensure_ascii=False)


def as_command(parameters: Mapping[str, Scalar], *, program: str = "train.py") -> str:
    """A call of a script with a flag for each parameter, as argparse and click read them.

    ``batch_size`` is ``--batch-size 64``; a truth is ``--nesterov`` or ``--no-nesterov``; what is
    null is left out, so that the script's default stands.
    """
    words = ["python", program]
    for name, value in parameters.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            # With "=", a value that begins with a dash is no flag.
            words += [f"--{flag}={value}"] if str(value).startswith("-") else [f"--{flag}", str(value)]
    return shlex.join(words)


def _value(value: Scalar) -> str:
    if isinstance(value, str):
        return _text(value)
    text = json.dumps(value)
    # YAML 1.1 takes 1e-05 for a text.
    return re.sub(r"^(-?\d+)e", r"\1.0e", text)


def _text(text: str) -> str:
    return text if _BARE.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)
