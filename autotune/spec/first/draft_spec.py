"""A spec whose baseline is what a plain PyTorch script trains with."""

from collections.abc import Mapping
from pathlib import Path

from autotune.events import Scalar
from autotune.hardware import usable_cores
from autotune.spec.first.script import Script
from autotune.spec.optimizers import OPTIMIZERS
from autotune.spec.written import written

_SPEED = (
    "num_workers",
    "pin_memory",
    "prefetch_factor",
    "persistent_workers",
    "cudnn_benchmark",
    "cudnn_deterministic",
    "channels_last",
    "compile",
    "precision",
    "optimizer_impl",
    "torch_threads",
    "fp32_precision_matmul",
)
_NOT_PARAMETERS = ("epochs", "seed")


def draft_spec(script: Script, *, is_classification: bool, path: Path, task: str, spec: str) -> str:
    """A spec whose baseline is what the script trains with, with ranges around it."""
    baseline = {r.name: r.value for r in script.readings if r.name not in _NOT_PARAMETERS}
    lines = {reading.name: reading.line for reading in script.readings}
    epochs = script.value("epochs")
    metric = "val_accuracy, direction: maximize" if is_classification else "val_loss, direction: minimize"
    read = f"{path.name}:{lines['epochs']}" if "epochs" in lines else "unless it is pruned"
    seed = [f"seed: {written(script.value('seed'))} # {path.name}:{lines['seed']}"] if "seed" in lines else []
    return "\n".join(
        [
            f"# Run it:  autotune study start {spec}",
            f"task: {task}:MyTask # file:class; the path counts from this file",
            f"objective: {{metric: {metric}}} # or e.g. {{time_to: {{val_accuracy: 0.95}}}}",
            "budget:",
            "  trials: 20 # trainings in all, over every start of the study",
            "  seconds: 600 # and seconds; what is used up first ends the study",
            f"  epochs: {written(epochs) if isinstance(epochs, int) and epochs > 0 else 5} # of each training; {read}",
            *seed,
            "sampler: tpe # chooses the next trial from those before; also gp, cmaes, qmc, random, grid, nsgaii",
            "pruner: {hyperband: {min_epochs: 1}} # stops trials that look hopeless, after one epoch at the earliest",
            "confirm: {repeats: 5} # at the end winner and baseline train again on fresh seeds until sure; 0: never",
            "",
            "learning: # what changes what is learned: ranges around what the script has; make them yours",
            *_learning_lines(baseline),
            "",
            "# No `speed` section: every knob that applies on this machine is raced once the baseline is trained",
            "# (`autotune hardware` lists them).",
            "",
            "# What the script trains with: trial 0, and what the winner is compared with.",
            "baseline:",
            *(_baseline_line(name, value, place=f"{path.name}:{lines[name]}") for name, value in baseline.items()),
            *_guesses(script, baseline),
            *(
                f"  # {u.name}: {u.expression} in {path.name}:{u.line} is computed; write it here"
                for u in script.unread
            ),
            *(f"  # {path.name}:{note.line}: {note.text}" for note in script.notes if note.line is not None),
            "",
        ]
    )


def _guesses(script: Script, baseline: Mapping[str, Scalar]) -> list[str]:
    """Lines with a guess for each setting that a training needs and the script does not tell.

    Where the script's optimizer is known, its own default learning rate holds, and none is guessed.
    """
    has_own_lr = "optimizer" in baseline and "lr" not in {each.name for each in script.unread}
    guesses = {"optimizer": "adam", **({} if has_own_lr else {"lr": "1e-3"}), "batch_size": "64"}
    return [
        f"  {name}: {guess} # a guess: the script does not tell"
        for name, guess in guesses.items()
        if name not in baseline
    ]


def _baseline_line(name: str, value: Scalar, *, place: str) -> str:
    num_cores = len(usable_cores())
    if name in {"num_workers", "torch_threads"} and isinstance(value, int) and value > num_cores:
        return f"  {name}: {num_cores} # {place} has {value}; a trial has {num_cores} cores here"
    return f"  {name}: {written(value)} # {place}"


def _learning_lines(baseline: Mapping[str, Scalar]) -> list[str]:
    optimizer, lr, batch_size = baseline.get("optimizer", "adam"), baseline.get("lr"), baseline.get("batch_size", 64)
    optimizers = list(dict.fromkeys([str(optimizer), "adamw", "sgd"]))
    lines = [f"  optimizer: {{choices: [{', '.join(optimizers)}]}} # any of torch.optim, or package.module:Class"]
    low, high = (lr / 30, min(lr * 30, max(1.0, lr))) if isinstance(lr, float) and lr > 0 else (1e-4, 1.0)
    lines.append(f"  lr: {{low: {low:.1g}, high: {high:.1g}, log: true}} # log: each power of ten is tried as often")
    if "momentum" in baseline and "momentum" in OPTIMIZERS[str(optimizer)].arguments:
        lines.append("  momentum: {low: 0.0, high: 0.99} # goes with those optimizers that have it")
    if isinstance(batch_size, int) and batch_size > 0:
        sizes = sorted({max(1, batch_size // 2), batch_size, batch_size * 2, batch_size * 4})
        lines.append(f"  batch_size: {{choices: {sizes}}}")
    for name, value in baseline.items():
        if name not in {"optimizer", "lr", "momentum", "batch_size", *_SPEED}:
            lines.append(f"  {name}: {written(value)} # fixed; a range or choices would search it")
    return lines
