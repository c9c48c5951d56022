from pathlib import Path

import pytest

from autotune.errors import TaskError
from autotune.training import TaskKnob, Trial
from autotune.training.process.own_knobs import checked_knobs
from tests.training.tasks import Points
from tests.training.trials import loaded, train

DECODER = TaskKnob(name="decoder", choices=("pillow", "turbo"))


class Decoding(Points):
    knobs = (DECODER,)


def train_function(trial: Trial) -> None:
    trial.report(1, val_loss=0.0)


train_function.knobs = [DECODER]  # type: ignore[attr-defined] # as a user writes it


@pytest.mark.parametrize("task", [Decoding(), train_function])
def test_knobs_of_a_task_are_known_with_their_simplest_setting(task: Decoding) -> None:
    assert [(knob.name, knob.simplest) for knob in loaded(task).knobs] == [("decoder", "pillow")]


def test_a_task_without_knobs_has_none() -> None:
    assert loaded(Points()).knobs == ()


def test_a_task_reads_its_knob_like_any_parameter(tmp_path: Path) -> None:
    seen = []

    def read(trial: Trial) -> None:
        seen.append(trial.params.get("decoder", "pillow"))
        trial.report(1, val_loss=0.0)

    train(read, tmp_path / "without", epochs=1)
    train(read, tmp_path / "with", {"decoder": "turbo"}, epochs=1)
    assert seen == ["pillow", "turbo"]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("decoder", r"where: knobs must be a tuple of TaskKnob, got 'decoder'; write"),
        ((DECODER, DECODER), r"where: knobs\.decoder: a name must come once, got it 2 times; rename one"),
        ((TaskKnob(name="a b", choices=(1, 2)),), r"knobs\.a b: a name must be a Python name, got 'a b'"),
        ((TaskKnob(name="a", choices=(1,)),), r"knobs\.a: choices must be two or more different values, got \(1,\)"),
        ((TaskKnob(name="a", choices=(1, 1)),), r"knobs\.a: choices must be two or more different values"),
        ((TaskKnob(name="a", choices=(1, 2), simplest=3),), r"knobs\.a: simplest must be one of the choices, got 3"),
    ],
)
def test_knobs_that_can_not_be_proposed_are_refused(declared: object, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        checked_knobs(declared, where="where")
