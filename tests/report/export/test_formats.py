import json
import shlex

import pytest
import yaml as yaml_1_1
from ruamel.yaml import YAML

from autotune.events import Scalar
from autotune.report.export.formats import as_command, as_json, as_yaml

PARAMETERS: dict[str, Scalar] = {
    "optimizer": "adam",
    "lr": 1e-05,
    "big": 1e22,
    "ratio": 0.25,
    "batch_size": 64,
    "nesterov": True,
    "compile": "off",
    "own": "my.module:Opt",
    "odd": "a: {b} # 'c'",
    "nothing": None,
    "number": "12",
}


def test_yaml_is_read_as_it_was_by_both_versions() -> None:
    text = as_yaml(PARAMETERS)
    assert dict(YAML(typ="safe").load(text)) == PARAMETERS
    assert yaml_1_1.safe_load(text) == PARAMETERS


def test_json_is_one_object() -> None:
    assert json.loads(as_json(PARAMETERS)) == PARAMETERS


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"batch_size": 64, "lr": 1e-3}, ["--batch-size", "64", "--lr", "0.001"]),
        ({"nesterov": True, "amsgrad": False}, ["--nesterov", "--no-amsgrad"]),
        ({"depth": None, "shift": -1}, ["--shift=-1"]),
        ({"name": "two words; rm"}, ["--name", "two words; rm"]),
    ],
)
def test_command_has_a_flag_a_parameter(parameters: dict[str, Scalar], words: list[str]) -> None:
    assert shlex.split(as_command(parameters)) == ["python", "train.py", *words]
