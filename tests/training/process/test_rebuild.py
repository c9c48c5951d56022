from pathlib import Path

import pytest
import torch

from autotune.errors import TaskError
from autotune.events import Scalar
from autotune.training.process.rebuild import rebuild_model
from tests.training.tasks import Points, points
from tests.training.trials import train

PARAMETERS: dict[str, Scalar] = {"width": 6, "batch_size": 8}
POINTS = "tests.training.tasks:Points"


def test_rebuilt_model_has_the_trained_weights(tmp_path: Path) -> None:
    trained = train(Points(), tmp_path, PARAMETERS)
    rebuilt = rebuild_model(POINTS, parameters=PARAMETERS, checkpoint=tmp_path / "checkpoint.pt")
    for name, weight in rebuilt.model.state_dict().items():
        assert torch.equal(weight, trained.weights[name])
    assert not rebuilt.model.training


def test_rebuilt_model_comes_with_an_example(tmp_path: Path) -> None:
    train(Points(), tmp_path, PARAMETERS)
    rebuilt = rebuild_model(POINTS, parameters=PARAMETERS, checkpoint=tmp_path / "checkpoint.pt")
    inputs, _ = points(10, seed=1)
    assert torch.equal(rebuilt.example_input, inputs[:4])
    with torch.no_grad():
        assert torch.equal(rebuilt.example_output, rebuilt.model(inputs[:4]))


def test_function_has_no_model_to_rebuild(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "digits_script.py"
    with pytest.raises(TaskError, match="can be rebuilt from a Task class, got a function"):
        rebuild_model(f"{script}:train", parameters={}, checkpoint=tmp_path / "checkpoint.pt")


def test_missing_checkpoint_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"checkpoint\.pt: the checkpoint can't be read"):
        rebuild_model(POINTS, parameters=PARAMETERS, checkpoint=tmp_path / "checkpoint.pt")
