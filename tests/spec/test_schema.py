import json

import pytest

from autotune.spec.policies import PRUNERS, SAMPLERS
from autotune.spec.read import TOP_KEYS
from autotune.spec.schema import spec_schema
from autotune.speed.knobs import KNOBS


def test_schema_has_every_top_level_key() -> None:
    properties = spec_schema()["properties"]
    assert isinstance(properties, dict)
    assert tuple(properties) == TOP_KEYS


def test_schema_is_json_with_every_sampler_pruner_and_knob() -> None:
    text = json.dumps(spec_schema(knobs=tuple(KNOBS)))
    assert all(f'"{name}"' in text for name in (*SAMPLERS, *PRUNERS, *KNOBS))


def test_schema_lets_speed_hold_other_names_which_a_task_may_declare() -> None:
    properties = spec_schema(knobs=tuple(KNOBS))["properties"]
    assert isinstance(properties, dict)
    speed = properties["speed"]
    assert isinstance(speed, dict)
    assert "patternProperties" in speed


@pytest.mark.parametrize("section", ["deadlines", "confirm"])
def test_schema_lets_each_key_of_a_section_stand_alone(section: str) -> None:
    properties = spec_schema()["properties"]
    assert isinstance(properties, dict)
    found = properties[section]
    assert isinstance(found, dict)
    assert "required" not in found
    assert found["additionalProperties"] is False
