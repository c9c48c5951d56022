"""The JSON schema of a study spec, for editors."""

from collections.abc import Sequence

from pydantic import JsonValue


def spec_schema(*, knobs: Sequence[str] = ()) -> dict[str, JsonValue]:
    """JSON schema of the YAML; ``knobs`` are the names that ``speed:`` may hold, none for any."""
    raise NotImplementedError
