"""YAML text → plain values with the line of every key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from autotune.errors import SpecError
from autotune.spec.overrides import Override, apply_overrides, parse_override
from autotune.spec.places import Places
from autotune.spec.written import written

_MAX_DEPTH = 8
"""The deepest level that is read. A spec has five; the limit ends a YAML alias that contains itself."""


@dataclass(frozen=True)
class Document:
    """The top-level mapping of a spec, after overrides."""

    content: dict[object, object]
    text: str
    places: Places


def read_document(text: str, *, origin: str, overrides: Sequence[str | Override] = ()) -> Document:
    """Read YAML 1.2 and apply overrides (those that are text are ``KEY=VALUE``).

    Raises:
        SpecError: The text is no YAML, has a key twice or several documents, or is no mapping.
    """
    content = _load(text, origin=origin)
    lines = _lines(text)
    parsed = [parse_override(given) if isinstance(given, str) else given for given in overrides]
    if parsed:
        text = apply_overrides(text, parsed)
        content = _load(text, origin=origin)
    typed = {override.dotted: override.typed for override in parsed}
    return Document(content=content, text=text, places=Places(origin=origin, lines=lines, overrides=typed))


def _load(text: str, *, origin: str) -> dict[object, object]:
    try:
        content: object = _safe().load(text)
    except MarkedYAMLError as error:
        raise _malformed(error, origin=origin) from None
    except RecursionError:
        raise SpecError(
            f"{origin}:1: the file must be a study spec, got YAML that is nested too deeply; flatten it"
        ) from None
    except (YAMLError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpecError(f"{origin}:1: the file must be YAML, got {reason!r}; correct it in an editor") from None
    if not isinstance(content, dict):
        what = "nothing" if content is None else written(content)
        raise SpecError(
            f"{origin}:1: the file must be a mapping with task, objective, budget and learning, got {what}; "
            "see `autotune space show mnist` for a whole one"
        )
    return content


def _malformed(error: MarkedYAMLError, *, origin: str) -> SpecError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    problem = " ".join(str(error.problem or error.context or "malformed text").split())
    if "another document" in problem:
        rule, remedy = "the file must hold one document", "remove the line ---"
    elif "duplicate key" in problem:
        rule, remedy = "a key must stand once in its mapping", "remove one of the two"
    elif r"'\t'" in problem:
        rule, remedy = "the file must be YAML", "indent with spaces, not with tabs"
    elif "constructor for the tag" in problem:
        rule, remedy = "the file must hold plain values", "remove the tag (!...)"
    else:
        rule, remedy = (
            "the file must be YAML",
            "look for an open bracket or quote, or an indentation, on this line or above",
        )
    return SpecError(f"{origin}:{line}: {rule}, got an error: {problem}; {remedy}")


def _lines(text: str) -> dict[str, int]:
    root = _safe().compose(text)
    return {"": 1, **dict(_walk(root, key="", depth=0))}


def _walk(node: Node, *, key: str, depth: int) -> Iterator[tuple[str, int]]:
    if depth > _MAX_DEPTH:
        return
    if isinstance(node, MappingNode):
        for name, child in node.value:
            if isinstance(name, ScalarNode):
                inner = f"{key}.{name.value}" if key else str(name.value)
                yield inner, name.start_mark.line + 1
                yield from _walk(child, key=inner, depth=depth + 1)
    elif isinstance(node, SequenceNode):
        for index, child in enumerate(node.value):
            inner = f"{key}.{index}"
            yield inner, child.start_mark.line + 1
            yield from _walk(child, key=inner, depth=depth + 1)


def _safe() -> YAML:
    # Only the pure Python reader knows YAML 1.2, in which 1e-3 is a number and off is a string.
    return YAML(typ="safe", pure=True)
