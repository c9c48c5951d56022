"""The JSON schema of a study spec, for editors."""

from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import JsonValue

from autotune.goals import Resource
from autotune.spec.checkpoints import CHECKPOINT_KEYS
from autotune.spec.confirming import MOST_REPEATS
from autotune.spec.deadlines import DEADLINE_KEYS
from autotune.spec.learning import LEARNING_LIMITS
from autotune.spec.limits import Limits
from autotune.spec.optimizers import OPTIMIZER_ARGUMENTS, OPTIMIZERS
from autotune.spec.policies import PRUNERS, SAMPLERS, SPEED_SEARCHES

_SCALAR: JsonValue = {"type": ["number", "string", "boolean", "null"]}
_NAME = "^[A-Za-z_][A-Za-z0-9_]*$"


def spec_schema(*, knobs: Sequence[str] = ()) -> dict[str, JsonValue]:
    """JSON schema (draft 2020-12) of the YAML.

    It helps an editor to complete and to warn; what holds between keys (low below high,
    conditions, the baseline) is checked when the spec is loaded.

    Args:
        knobs: The built-in names of ``speed:``; a task may add others.
    """
    learning = (*LEARNING_LIMITS, *sorted(OPTIMIZER_ARGUMENTS - LEARNING_LIMITS.keys()))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "autotune study spec",
        "type": "object",
        "additionalProperties": False,
        "required": ["task", "budget"],
        "oneOf": [{"required": ["objective"]}, {"required": ["objectives"]}],
        "properties": {
            "task": {"type": "string", "description": "package.module:Class or path/to/file.py:Class"},
            "objective": {"$ref": "#/$defs/objective"},
            "objectives": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/objective"}},
            "budget": _budget(),
            "sampler": _policy(SAMPLERS),
            "pruner": _policy(PRUNERS),
            "learning": _group(("optimizer", *learning), is_open=True),
            "speed": _group(knobs, is_open=True),  # a task may declare knobs of its own
            "speed_search": _policy(SPEED_SEARCHES),
            "baseline": {"type": "object", "additionalProperties": _SCALAR},
            "deadlines": _options({key: {"type": "number", "exclusiveMinimum": 0} for key in DEADLINE_KEYS}),
            "checkpoints": _checkpoints(),
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
            "device": {"type": "string", "pattern": "^(auto|cpu|cuda(:[0-9]{1,4})?)$"},
            "log_model": {"type": "boolean"},
            "confirm": _confirm(),
        },
        "$defs": {"objective": _objective(), "parameter": _parameter(), "optimizer": _optimizer()},
    }


def _objective() -> JsonValue:
    bound: JsonValue = {
        "oneOf": [
            {"type": "number", "description": "at least"},
            _mapping({"at_least": {"type": "number"}}),
            _mapping({"at_most": {"type": "number"}}),
        ]
    }
    time_to: JsonValue = {
        "type": "object",
        "description": "seconds of training until the metric is seen there",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": bound,
    }
    direction: JsonValue = {"enum": ["maximize", "minimize"]}
    return {
        "oneOf": [
            _mapping({"metric": {"type": "string"}, "direction": direction}),
            _mapping({"time_to": time_to}),
        ]
    }


def _mapping(properties: dict[str, JsonValue]) -> JsonValue:
    """The schema of a mapping that has all of these keys and no other."""
    required: list[JsonValue] = list(properties)
    return {**_options(properties), "required": required}


def _options(properties: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The schema of a mapping that has any of these keys and no other."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _budget() -> JsonValue:
    return {
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["trials"]}, {"required": ["seconds"]}],
        "properties": {
            "trials": {"type": "integer", "minimum": 1, "description": "in all, over every start"},
            "seconds": {"type": "number", "exclusiveMinimum": 0, "description": "in all, over every start"},
            "epochs": {"type": "integer", "minimum": 1, "description": "of a trial that is trained to its end"},
            "resource": {"enum": list(get_args(Resource)), "description": "what a trial's length is counted in"},
            "per_trial": {"type": "integer", "minimum": 1, "description": "seconds or samples of a whole trial"},
        },
    }


def _checkpoints() -> JsonValue:
    limit: JsonValue = {
        "type": "number",
        "minimum": 0,
        "description": "of all checkpoints of the study together, the one that is being written too; 0 for none",
    }
    return _options(dict.fromkeys(CHECKPOINT_KEYS, limit))


def _confirm() -> JsonValue:
    return _options(
        {
            "repeats": {
                "type": "integer",
                "minimum": 0,
                "maximum": MOST_REPEATS,
                "description": "a side, at most; 0 for none",
            },
            "top": {"type": "integer", "minimum": 1, "description": "so many of the best trials"},
            "target": {"type": "number", "description": "of the metric; what all trainings came to unless given"},
            "against": {"type": "integer", "minimum": 0, "description": "another trial than the baseline, 0"},
        }
    )


def _policy(table: Mapping[str, Mapping[str, Limits]]) -> JsonValue:
    options: dict[str, JsonValue] = {
        name: {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {option: _limits(limits) for option, limits in known.items()},
        }
        for name, known in table.items()
    }
    return {
        "oneOf": [
            {"enum": list(table)},
            {
                "type": "object",
                "additionalProperties": False,
                "minProperties": 1,
                "maxProperties": 1,
                "properties": options,
            },
        ]
    }


def _limits(limits: Limits) -> JsonValue:
    if limits.kind == "choices":
        return {"enum": list(limits.choices)}
    schema: dict[str, JsonValue] = {"type": "integer" if limits.kind == "whole" else "number"}
    if limits.low is not None:
        schema["exclusiveMinimum" if limits.low_is_open else "minimum"] = limits.low
    if limits.high is not None:
        schema["exclusiveMaximum" if limits.high_is_open else "maximum"] = limits.high
    return schema


def _group(names: Sequence[str], *, is_open: bool) -> JsonValue:
    parameter: JsonValue = {"$ref": "#/$defs/parameter"}
    properties: dict[str, JsonValue] = dict.fromkeys(names, parameter)
    if "optimizer" in properties:
        properties["optimizer"] = {"$ref": "#/$defs/optimizer"}
    group: dict[str, JsonValue] = {"type": ["object", "null"], "properties": properties}
    if is_open:
        group["patternProperties"] = {_NAME: parameter}
    group["additionalProperties"] = False
    return group


def _parameter() -> JsonValue:
    bound: JsonValue = {"oneOf": [{"type": "number"}, {"const": "auto"}]}
    when: JsonValue = {
        "type": "object",
        "additionalProperties": {"oneOf": [_SCALAR, {"type": "array", "minItems": 1, "items": _SCALAR}]},
    }
    return {
        "oneOf": [
            _SCALAR,
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["choices"],
                "properties": {
                    "type": {"const": "choices"},
                    "choices": {"type": "array", "minItems": 1, "uniqueItems": True, "items": _SCALAR},
                    "when": when,
                },
            },
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["low", "high"],
                "properties": {
                    "type": {"enum": ["float", "int"]},
                    "low": bound,
                    "high": bound,
                    "log": {"type": "boolean"},
                    "step": {"type": "number", "exclusiveMinimum": 0},
                    "when": when,
                },
            },
        ]
    }


def _optimizer() -> JsonValue:
    name: JsonValue = {"anyOf": [{"enum": list(OPTIMIZERS)}, {"type": "string", "pattern": ":[A-Za-z_][A-Za-z0-9_]*$"}]}
    choices: JsonValue = {"type": "array", "minItems": 1, "uniqueItems": True, "items": name}
    searched: JsonValue = {
        "type": "object",
        "additionalProperties": False,
        "required": ["choices"],
        "properties": {"choices": choices, "when": {"type": "object"}, "type": {"const": "choices"}},
    }
    return {"oneOf": [name, searched]}
