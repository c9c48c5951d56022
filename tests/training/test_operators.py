"""Our loop runs no operator that the same loop by hand has not: none is launched, and nothing allocated, beside it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from autotune.events import Outcome, Scalar
from autotune.training.parameters import Parameters
from tests.training.tasks import NUM_TRAIN, Points
from tests.training.trials import train

MODEL = Parameters({"width": 8})
CHOICES: dict[str, tuple[dict[str, Scalar], type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": ({"optimizer": "sgd", "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
    "adam": ({"optimizer": "adam"}, torch.optim.Adam, {}),
    "adam fused": ({"optimizer": "adam", "optimizer_impl": "fused"}, torch.optim.Adam, {"fused": True}),
    "clipped": ({"optimizer": "sgd", "momentum": 0.9, "gradient_clip": 0.5}, torch.optim.SGD, {"momentum": 0.9}),
}


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is launched, backward passes and optimizers included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen[str(func)] += 1
        return func(*args, **(kwargs or {}))


def ours(folder: Path, parameters: dict[str, Scalar], *, batch_size: int, validation_batch_size: int) -> Counter[str]:
    sizes: dict[str, Scalar] = {"batch_size": batch_size, "validation_batch_size": validation_batch_size, "width": 8}
    with Operators() as operators:
        trained = train(Points(), folder, parameters | sizes, epochs=1)
    assert trained.finished.outcome is Outcome.COMPLETE, trained.finished
    seen: Counter[str] = operators.seen
    return seen


def by_hand(optimizer: torch.optim.Optimizer, model: nn.Module, *, batch_size: int, clip: Scalar = None) -> None:
    """One epoch."""
    total = torch.zeros(())
    for inputs, labels in DataLoader(Points().train_data(MODEL), batch_size=batch_size, shuffle=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), float(clip))
        optimizer.step()
        total += loss.detach() * len(labels)


def evaluate_by_hand(model: nn.Module, *, batch_size: int) -> tuple[Tensor, Tensor]:
    model.eval()
    total, correct = torch.zeros(()), torch.zeros(())
    with torch.inference_mode():
        for inputs, labels in DataLoader(Points().validation_data(MODEL), batch_size=batch_size):
            outputs = model(inputs)
            total += nn.functional.cross_entropy(outputs, labels) * len(labels)
            correct += (outputs.argmax(dim=1) == labels).sum()
    return total, correct


@pytest.mark.parametrize("name", CHOICES)
def test_step_runs_the_operators_of_one_by_hand_and_no_others(tmp_path: Path, name: str) -> None:
    parameters, optimizer_class, arguments = CHOICES[name]
    found, expected = [], []
    for batch_size in (NUM_TRAIN // 6, NUM_TRAIN // 2):  # six steps an epoch, and two
        found.append(ours(tmp_path / str(batch_size), parameters, batch_size=batch_size, validation_batch_size=10))
        model = Points().model(MODEL)
        optimizer = optimizer_class(model.parameters(), lr=1e-3, **arguments)  # type: ignore[call-arg]
        with Operators() as operators:
            by_hand(optimizer, model, batch_size=batch_size, clip=parameters.get("gradient_clip"))
        expected.append(operators.seen)
    four_steps, four_by_hand = found[0] - found[1], expected[0] - expected[1]
    assert four_steps.total() > 4 * 10
    assert four_steps - four_by_hand == Counter()


def test_batch_of_validation_runs_as_few_operators_as_one_by_hand(tmp_path: Path) -> None:
    found, expected = [], []
    for batch_size in (2, 10):  # five batches, and one
        seen = ours(tmp_path / str(batch_size), {}, batch_size=NUM_TRAIN, validation_batch_size=batch_size)
        found.append(seen.total())
        with Operators() as operators:
            evaluate_by_hand(Points().model(MODEL), batch_size=batch_size)
        expected.append(operators.seen.total())
    assert found[0] - found[1] <= expected[0] - expected[1]
