"""Reads the arguments of Lightning's Trainer and Hugging Face's TrainingArguments as parameters of a spec."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autotune.events import Scalar

_LIGHTNING = {
    "max_epochs": "epochs",
    "gradient_clip_val": "gradient_clip",
    "deterministic": "cudnn_deterministic",
    "benchmark": "cudnn_benchmark",
}
_HUGGING_FACE = {
    "learning_rate": "lr",
    "per_device_train_batch_size": "batch_size",
    "num_train_epochs": "epochs",
    "weight_decay": "weight_decay",
    "adam_beta1": "beta1",
    "adam_beta2": "beta2",
    "adam_epsilon": "eps",
    "max_grad_norm": "gradient_clip",
    "seed": "seed",
    "dataloader_num_workers": "num_workers",
    "dataloader_pin_memory": "pin_memory",
}
_KEYWORDS = {
    "Trainer": _LIGHTNING,
    "TrainingArguments": _HUGGING_FACE,
    "Seq2SeqTrainingArguments": _HUGGING_FACE,
}
_ACCUMULATES = ("accumulate_grad_batches", "gradient_accumulation_steps")
_SCHEDULES = {"constant": "constant", "cosine": "cosine"}
_PRECISIONS = {"bf16-mixed": "bf16", "bf16": "bf16", "16-mixed": "fp16", "16": "fp16"}


@dataclass(frozen=True)
class Setting:
    """One keyword argument of a call."""

    name: str
    """The parameter's name in a spec."""
    node: ast.expr
    """The expression that is passed."""
    value: Scalar = None
    """The parameter's value, where it differs from that of the expression; else None."""


@dataclass(frozen=True)
class Framework:
    """The settings and remarks that were read from such a call."""

    settings: tuple[Setting, ...]
    notes: tuple[tuple[int, str], ...]
    """Line numbers, with remarks on arguments that a spec can't express."""


def read_framework(call: ast.Call) -> Framework | None:
    """What the call says; None for a call of anything else."""
    name = ast.unparse(call.func).rpartition(".")[2]
    if name not in _KEYWORDS:
        return None
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
    plain = [Setting(_KEYWORDS[name][key], node) for key, node in given.items() if key in _KEYWORDS[name]]
    special = _lightning(given) if name == "Trainer" else _hugging_face(call, given)
    return Framework((*plain, *special), tuple(_notes(call, name, given)))


def _lightning(given: Mapping[str, ast.expr]) -> Iterator[Setting]:
    precision = given.get("precision")
    if isinstance(precision, ast.Constant) and str(precision.value) in _PRECISIONS:
        yield Setting("precision", precision, _PRECISIONS[str(precision.value)])


def _hugging_face(call: ast.Call, given: Mapping[str, ast.expr]) -> Iterator[Setting]:
    optimizer = given.get("optim")
    if optimizer is None or "adamw" in ast.unparse(optimizer):  # torch's AdamW is the default of TrainingArguments
        yield Setting("optimizer", call if optimizer is None else optimizer, "adamw")
    for key, name, value in (
        ("bf16", "precision", "bf16"),
        ("fp16", "precision", "fp16"),
        ("torch_compile", "compile", "default"),
    ):
        if key in given and _is_true(given[key]):
            yield Setting(name, given[key], value)
    schedule = given.get("lr_scheduler_type")
    if isinstance(schedule, ast.Constant) and schedule.value in _SCHEDULES:
        yield Setting("schedule", schedule, _SCHEDULES[str(schedule.value)])


def _notes(call: ast.Call, name: str, given: Mapping[str, ast.expr]) -> Iterator[tuple[int, str]]:
    for key in _ACCUMULATES:
        if key in given:
            what = f"gradients are accumulated, {ast.unparse(given[key])} batches a step"
            yield given[key].lineno, f"{what}: batch_size in the spec is of a whole step, speed.accumulate cuts it"
    if name == "Trainer":
        return
    if "optim" in given and "adamw" not in ast.unparse(given["optim"]):
        yield given["optim"].lineno, f"optim {ast.unparse(given['optim'])} is not read: name the optimizer in the spec"
    schedule = given.get("lr_scheduler_type")
    if not (isinstance(schedule, ast.Constant) and schedule.value in _SCHEDULES):
        told = "'linear', its default," if schedule is None else ast.unparse(schedule)
        yield (schedule or call).lineno, f"the schedule {told} is none of a spec's: constant, cosine, one_cycle or step"
    left = [key for key in ("learning_rate", "per_device_train_batch_size", "num_train_epochs") if key not in given]
    if left:
        yield call.lineno, f"{', '.join(left)}: its defaults hold, and are not read; write them into the spec"


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
