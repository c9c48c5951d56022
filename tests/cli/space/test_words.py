import pytest

from autotune.cli.space.words import print_space
from autotune.events import Rehearsal, Scalar
from autotune.report.machine.spaces import SpaceSummary
from autotune.spec.model import Budget, Choice, Objective
from autotune.spec.policies import SPEED_SEARCHES


@pytest.mark.parametrize("name", SPEED_SEARCHES)
def test_check_says_how_speed_parameters_are_chosen(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    options: dict[str, Scalar] = {"share": 0.2} if name == "race" else {}
    print_space(_summary(Choice(name=name, options=options)))
    shown = "race (share 0.2)" if name == "race" else name
    assert f"\nspeed search: {shown}: " in capsys.readouterr().out


def _summary(speed_search: Choice) -> SpaceSummary:
    return SpaceSummary(
        name="cells",
        task="cells.py:Cells",
        objectives=(Objective(metric="val_loss", direction="minimize"),),
        budget=Budget(trials=3, epochs=2),
        sampler=Choice(name="tpe"),
        pruner=Choice(name="none"),
        speed_search=speed_search,
        devices=("cpu",),
        parameters=(),
        fixed={},
        left_out=(),
        baseline={},
        rehearsal=Rehearsal(num_train_samples=10, num_validation_samples=5, metric_names=("val_loss",)),
    )
