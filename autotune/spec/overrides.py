"""``--set KEY=VALUE``: a dotted key into the YAML document, and a value that is YAML itself."""

import io
from collections.abc import Iterable, MutableMapping, MutableSequence
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from autotune.errors import SpecError
from autotune.spec.written import written

_NO_WRAP = 10_000


@dataclass(frozen=True)
class Override:
    """One value that replaces what the document has, or adds to it."""

    key: tuple[str, ...]
    value: object
    """The value as the round-trip reader read it, so that ``1e-3`` is written back as ``1e-3``."""
    typed: str
    """``--set KEY=VALUE``, or the option that stands for it such as ``--seed 3``, for messages."""

    @property
    def dotted(self) -> str:
        """The key as it was typed."""
        return ".".join(self.key)


def parse_override(text: str) -> Override:
    """Read ``KEY=VALUE``; an empty value is an error, ``null`` is written out.

    Raises:
        SpecError: It has no ``=``, no key, or a value that is no YAML.
    """
    typed = f"--set {text}"
    key, equals, value = (part.strip() for part in text.partition("="))
    parts = tuple(key.split("."))
    if not equals or not value or not all(parts):
        raise SpecError(
            f"{typed}: must be KEY=VALUE with a dotted key, got {text!r}; write --set learning.lr=1e-3, for example"
        )
    try:
        return Override(key=parts, value=_round_trip().load(value), typed=typed)
    except (YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or type(error).__name__
        raise SpecError(
            f"{typed}: the value must be YAML, got {value!r} ({reason}); quote it, or close its brackets"
        ) from None


def apply_overrides(text: str, overrides: Iterable[Override]) -> str:
    """The document with every override in it; comments stay where they are.

    Raises:
        SpecError: A key leads through something that is no mapping.
    """
    yaml = _round_trip()
    document = yaml.load(text)
    for override in overrides:
        _put(document, override)
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _put(document: object, override: Override) -> None:
    here = document
    *parents, last = override.key
    for depth, part in enumerate(parents, start=1):
        here = _step(here, part, path=override.key[:depth], override=override)
    if isinstance(here, MutableMapping):
        here[last] = override.value
    elif isinstance(here, MutableSequence) and last.isdecimal() and int(last) < len(here):
        here[int(last)] = override.value
    else:
        raise _not_a_mapping(here, path=override.key[:-1], override=override)


def _step(here: object, part: str, *, path: tuple[str, ...], override: Override) -> object:
    if isinstance(here, MutableMapping):
        if here.get(part) is None:
            here[part] = {}
        return here[part]
    if isinstance(here, MutableSequence) and part.isdecimal() and int(part) < len(here):
        return here[int(part)]
    raise _not_a_mapping(here, path=path[:-1], override=override)


def _not_a_mapping(here: object, *, path: tuple[str, ...], override: Override) -> SpecError:
    outer = ".".join(path)
    return SpecError(
        f"{override.typed}: {outer} must be a mapping to have a key of its own, got {written(here)}; "
        f"set all of it: --set '{outer}={{...}}'"
    )


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _NO_WRAP
    return yaml
