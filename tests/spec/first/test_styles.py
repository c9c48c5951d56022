"""Training scripts of many styles: what their text tells is read, and what it does not tell is said."""

from pathlib import Path

import pytest

from autotune.events import Scalar
from autotune.spec.first.draft_spec import draft_spec
from autotune.spec.first.draft_task import draft_task
from autotune.spec.first.script import read_script
from autotune.spec.load import parse_spec

SCRIPTS = Path(__file__).parent / "scripts"
READ: dict[str, dict[str, Scalar]] = {
    "mnist_example": {
        "optimizer": "adadelta",
        "lr": 1.0,
        "batch_size": 64,
        "epochs": 14,
        "seed": 1,
        "schedule": "step",
        "schedule_gamma": 0.7,
        "schedule_step": 0.071429,
        "num_workers": 1,
        "persistent_workers": True,
        "pin_memory": True,
    },
    "globals_with_own_batches": {"seed": 1337, "precision": "bf16", "compile": "default", "gradient_clip": 1.0},
    "lightning": {
        "optimizer": "adamw",
        "lr": 1e-3,
        "weight_decay": 1e-2,
        "schedule": "cosine",
        "batch_size": 256,
        "num_workers": 4,
        "epochs": 10,
        "precision": "bf16",
        "gradient_clip": 0.5,
        "seed": 7,
    },
    "hugging_face": {
        "optimizer": "adamw",
        "lr": 2e-5,
        "weight_decay": 0.01,
        "batch_size": 16,
        "epochs": 3,
        "precision": "bf16",
        "num_workers": 4,
        "seed": 42,
    },
    "hydra": {"optimizer": "sgd", "momentum": 0.9, "pin_memory": True},
    "trainer_class": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.8, "batch_size": 64, "epochs": 5},
    "keyword_defaults": {
        "optimizer": "adam",
        "lr": 3e-3,
        "weight_decay": 1e-4,
        "batch_size": 128,
        "num_workers": 2,
        "epochs": 12,
    },
    "dataclass_config": {
        "optimizer": "adamw",
        "lr": 4e-4,
        "beta1": 0.9,
        "beta2": 0.99,
        "weight_decay": 0.05,
        "batch_size": 96,
        "epochs": 8,
        "seed": 3,
    },
    "imagenet_example": {
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "batch_size": 256,
        "epochs": 90,
        "schedule": "step",
        "schedule_gamma": 0.1,
        "schedule_step": 0.333333,
        "num_workers": 4,
        "pin_memory": True,
    },
    "yaml_config": {"optimizer": "adam"},
    "dictionaries": {
        "optimizer": "sgd",
        "lr": 2e-2,
        "momentum": 0.95,
        "nesterov": True,
        "batch_size": 48,
        "num_workers": 1,
        "epochs": 30,
    },
    "click_command": {"optimizer": "rmsprop", "lr": 5e-3, "batch_size": 40},
    "optimizer_by_name": {"optimizer": "nadam", "lr": 2e-3, "batch_size": 16, "epochs": 3},
    "gan": {
        "optimizer": "adam",
        "lr": 0.0002,
        "beta1": 0.5,
        "beta2": 0.999,
        "batch_size": 128,
        "num_workers": 2,
        "epochs": 5,
    },
    "get_config": {"optimizer": "adam", "lr": 8e-4, "batch_size": 72, "epochs": 6},
    "parameter_groups": {
        "optimizer": "sgd",
        "lr": 0.4,
        "momentum": 0.9,
        "batch_size": 512,
        "epochs": 15,
        "schedule": "one_cycle",
    },
}
UNREAD = {
    "hydra": ["seed", "batch_size", "lr", "epochs"],
    "yaml_config": ["batch_size", "lr", "epochs"],
    "click_command": ["epochs"],
}
SAID = {
    "globals_with_own_batches": [
        "no optimizer of torch.optim was found",
        "no learning rate was found; learning_rate, which is 0.0006, may be it: write it there",
        "no batch size was found; batch_size, which is 12, may be it: write it there",
        "no number of epochs was found; the spec has a guess",
    ],
    "lightning": ["gradients are accumulated, 2 batches a step"],
    "hugging_face": ["gradients are accumulated, 2 batches a step", "the schedule 'linear', its default, is none"],
    "optimizer_by_name": ["the schedule ReduceLROnPlateau is none of a spec's"],
    "gan": ["another optimizer, Adam, is not read"],
    "parameter_groups": ["its groups of parameters have settings of their own"],
}


def test_each_script_is_told_of() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.txt")} == set(READ)


@pytest.mark.parametrize("name", READ)
def test_script_is_read_through_functions_classes_and_configurations(name: str) -> None:
    script = read_script(SCRIPTS / f"{name}.txt")
    assert {reading.name: reading.value for reading in script.readings} == READ[name]
    assert [unread.name for unread in script.unread] == UNREAD.get(name, [])
    said = SAID.get(name, [])
    assert len(script.notes) == len(said)
    for note, beginning in zip(script.notes, said, strict=True):
        assert note.text.startswith(beginning)


@pytest.mark.parametrize("name", READ)
def test_draft_of_each_script_is_a_spec_that_says_what_is_not_known(name: str) -> None:
    path = SCRIPTS / f"{name}.txt"
    script = read_script(path)
    draft = draft_task(script, path=path)
    text = draft_spec(script, is_classification=draft.is_classification, path=path, task="task.py", spec="s.yaml")
    spec = parse_spec(text, origin="s.yaml").spec
    for key in ("optimizer", "batch_size"):
        assert spec.baseline[key] == script.value(key) or "a guess: the script does not tell" in text
    for unread in script.unread:
        assert f"# {unread.name}: {unread.expression} in {path.name}:{unread.line} is computed; write it here" in text
    for note in script.notes:
        assert note.line is None or f"# {path.name}:{note.line}: {note.text}" in text
