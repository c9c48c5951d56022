"""Whatever is written, the answer is a spec or one line that says what is wrong."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autotune.errors import SpecError
from autotune.spec.load import SpecFile, parse_spec
from autotune.spec.model import StudySpec
from autotune.spec.read import TOP_KEYS

KEYS = "metric direction trials low high log step choices when type lr optimizer momentum min_epochs num_workers"
WORDS = st.sampled_from(
    [*TOP_KEYS, *KEYS.split(), "minimize", "int", "sgd", "tpe", "median", "hyperband", "auto", "a:B"]
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=5) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
GOOD = {
    "task": "a:B",
    "objective": {"metric": "a", "direction": "minimize"},
    "budget": {"trials": 3},
    "learning": {"lr": {"low": 1e-3, "high": 1, "log": True}},
}


def parse(text: str, *, overrides: tuple[str, ...] = ()) -> SpecFile | None:
    try:
        return parse_spec(text, origin="s.yaml", overrides=overrides)
    except SpecError as error:
        message = str(error)
    assert "\n" not in message
    assert message.startswith(("s.yaml:", "--set "))
    return None


@pytest.mark.slow
@settings(max_examples=300)
@given(st.text(max_size=60))
@example("a: !!int b")
@example("? - a\n: b")
@example("a: 2001-99-99")
@example("!!set {a, b}")
@example("!!omap [a: 1]")
@example("a: &a [*a]")
@example("<<: [1]")
@example("%YAML 9.9\n---\na: 1")
def test_any_text_is_a_spec_or_an_error_of_one_line(text: str) -> None:
    parse(text)


@pytest.mark.slow
@settings(max_examples=300)
@given(section=st.sampled_from(TOP_KEYS), value=VALUES)
def test_any_section_is_read_or_refused_in_one_line(section: str, value: object) -> None:
    file = parse(json.dumps(GOOD | {section: value}))
    if file is not None:
        assert parse_spec(file.text, origin="again").spec == file.spec
        assert StudySpec.model_validate_json(file.spec.model_dump_json()) == file.spec


@pytest.mark.slow
@settings(max_examples=300)
@given(key=st.lists(WORDS, min_size=1, max_size=4), value=VALUES)
def test_any_override_is_applied_or_refused_in_one_line(key: list[str], value: object) -> None:
    file = parse(json.dumps(GOOD), overrides=(f"{'.'.join(key)}={json.dumps(value)}",))
    if file is not None:
        assert parse_spec(file.text, origin="again").spec == file.spec
